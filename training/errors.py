"""Errors of the training system; ``python -m training`` prints them as one line."""


class TrainingError(Exception):
    """A training command cannot go on; the message says what to change."""


class ConfigError(TrainingError):
    """A configuration file or override is not understood."""


class DataError(TrainingError):
    """A folder of faces or a face pack cannot be used."""


class CheckpointError(TrainingError):
    """A checkpoint is missing, broken or made by another configuration."""


class DivergedError(TrainingError):
    """The loss was not finite too many times in a row."""


class FeatureWeightsError(TrainingError):
    """A file with the weights of a perceptual network is missing, or not what it must be."""


class PublishRefusedError(TrainingError):
    """A run is not good enough, or worse than the version that it would replace."""
