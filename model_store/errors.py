"""Errors of the model store. They know no HTTP status; the service's error table maps them."""


class ModelStoreError(Exception):
    """A published model version cannot be found, read or trusted."""


class StoreUnreadableError(ModelStoreError):
    """The folder of published models cannot be listed."""


class ModelNotFoundError(ModelStoreError):
    """No published version answers to the reference."""


class ManifestError(ModelStoreError):
    """A version's files are missing, half-written or contradict each other."""


class ChecksumMismatchError(ModelStoreError):
    """A weights file is not the one that was published."""


class CalibrationMismatchError(ModelStoreError):
    """A calibration was fitted for other networks than those it is asked about."""


class FaceNotFoundError(Exception):
    """The detector saw no face in the image."""
