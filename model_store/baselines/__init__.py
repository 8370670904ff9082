"""The rivals of the paper's tables (IV-B), each after its own paper: LR face -> HR face.

All take the LR image alone, ``network(lr)``; those that work on the enlarged image enlarge it
themselves. Without their GAN variants.
"""
