"""Measuring models on faces they never learnt from, all of them on the same faces.

A *model* here is anything that makes 128 px faces of a set's LR images: a published version, a
run's best weights, Pillow's bicubic, or a folder of images that somebody else made. ``faces`` says
what is shown to it, ``models`` opens it, ``measures`` compares its images with the originals,
``comparison`` holds what came of it, and ``report`` writes that down.
"""
