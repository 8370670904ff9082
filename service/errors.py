"""What can go wrong in the service, by cause. Nothing here knows HTTP; `error_handlers` maps it.

A message names the value, the limit and the remedy, and never a file name of the caller's.
"""


class ServiceError(Exception):
    """The service cannot do what it was asked to."""


# --- who the caller is ---


class UnauthorizedError(ServiceError):
    """The caller gave no API key, or one that is not known.

    Attributes:
        was_key_given: whether there was one.
    """

    def __init__(self, message: str, *, was_key_given: bool) -> None:
        super().__init__(message)
        self.was_key_given = was_key_given


# --- what the caller asked for ---


class RequestError(ServiceError):
    """The request itself is wrong, whatever its images hold."""


class EmptyBodyError(RequestError):
    """The request carries no image."""


class MalformedBodyError(RequestError):
    """The multipart body cannot be taken apart."""


class BodyTooLargeError(RequestError):
    """The body has more bytes than the service takes."""


class CorruptArchiveError(RequestError):
    """The bytes are no zip archive that can be unpacked safely."""


class ArchiveTooLargeError(RequestError):
    """The archive unpacks to more bytes than the service takes."""


class AmbiguousNamesError(RequestError):
    """Two results would have one name."""


class UnsupportedMediaTypeError(RequestError):
    """The body's content type is not one that the endpoint reads."""


class TooManyImagesError(RequestError):
    """One request carries more images than the service takes at once."""


class UnknownParameterError(RequestError):
    """A query parameter or form field has a name that means nothing here."""


class InvalidParameterError(RequestError):
    """A parameter's value is outside what the service can do."""


class ConflictingParametersError(RequestError):
    """Two parameters, or one parameter given twice, contradict each other."""


class UnknownModelError(RequestError):
    """No served model answers to the name."""


class UnpairedImagesError(RequestError):
    """There are not as many originals as super-resolved images."""


class UnknownSetError(RequestError):
    """No running set has the name."""


class OtherClassifierError(RequestError):
    """A running set was begun with another classifier than the one that is loaded."""


class IdempotencyKeyReusedError(RequestError):
    """An idempotency key came a second time, with something else."""


class TooManySetsError(RequestError):
    """No further running set fits."""


class SetFullError(RequestError):
    """A running set holds all the pairs that it can."""


class NoClassifierError(RequestError):
    """Expressions are to be read and no classifier is loaded."""


class NoFaceDetectorError(RequestError):
    """Faces are to be found and no detector is loaded."""


class NotAcceptableError(RequestError):
    """The caller accepts none of the forms that the reply can take."""


class SlowUploadError(RequestError):
    """The body did not arrive in time."""


class ClientGoneError(RequestError):
    """The caller closed the connection before the reply was ready."""


# --- what an image is ---


class ImageError(ServiceError):
    """One image cannot be upscaled; the others of its request are not concerned."""


class EmptyImageError(ImageError):
    """An image part without bytes."""


class UnsupportedImageFormatError(ImageError):
    """The bytes are no JPEG, PNG or WebP image."""


class AnimatedImageError(ImageError):
    """The file holds several frames."""


class CorruptImageError(ImageError):
    """The bytes begin as an image and cannot be decoded."""


class ImageTooLargeError(ImageError):
    """The image has more bytes or pixels than the service takes."""


class ImageTooSmallError(ImageError):
    """The image has fewer pixels than a face needs."""


class ImageTooNarrowError(ImageError):
    """One side is so much longer than the other that the image is no face crop."""


class NoFaceError(ImageError):
    """The image shows no face whose expression could be read."""


class ItemFailedError(ImageError):
    """The model failed on this image, alone and retried."""


# --- what the service cannot do now ---


class CapacityError(ServiceError):
    """The request is fine and cannot be served now."""


class OverloadedError(CapacityError):
    """Admission is full.

    Attributes:
        retry_after_seconds: when to come back: whole seconds, at least 1.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class RateLimitedError(CapacityError):
    """A caller has sent as many requests as its limit allows.

    Attributes:
        retry_after_seconds: when to come back: whole seconds, at least 1.
    """

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class QueueFullError(CapacityError):
    """The batcher's queue is full; admission in front of it makes this an inner alarm."""


class SetsUnavailableError(CapacityError):
    """Where the running sets are kept cannot be reached."""


class NotReadyError(CapacityError):
    """The service is starting, or is on its way out."""


class DeviceMemoryError(CapacityError):
    """What was to be run does not fit the device's memory now."""


class DeviceStalledError(CapacityError):
    """The device has not answered for far longer than it ever took; it may yet come back."""


class DeviceLostError(CapacityError):
    """The device fails whatever it is given, so the process must end."""


class DeadlineExceededError(CapacityError):
    """The request's deadline passed before its result was there."""


# --- what keeps the service from starting ---


class StartupError(ServiceError):
    """The service cannot start; the message says what to change."""


class EngineUnavailableError(StartupError):
    """An engine cannot be had here, or is not accurate enough; another one may do."""
