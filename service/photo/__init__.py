"""Whole photos: every face found, upscaled, and laid back into the enlarged photo.

values.py says what is asked for and what is known of each face; selection.py which faces are
upscaled, and by which network; background.py enlarges the photo; paste.py lays a face into it;
pipeline.py is the way of a request through all of them.
"""

from service.photo.pipeline import PhotoPipeline
from service.photo.values import FaceModeWanted, PhotoFile, PhotoOrder

__all__ = ["FaceModeWanted", "PhotoFile", "PhotoOrder", "PhotoPipeline"]
