"""Face detection: how small faces may be to be found, and publishing the detector."""

from training.detection.run import DetectionOptions, measure_detector

__all__ = ["DetectionOptions", "measure_detector"]
