"""Frozen feature networks that judge images as eyes do: LPIPS, VGG16 features, Gram matrices.

Their weights are other people's and no part of this repository; :mod:`weight_files` says which
file is wanted, from where, and refuses any other.
"""
