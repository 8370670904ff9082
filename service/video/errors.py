"""What a video can be refused for. Videos come by command line only, so no status belongs to it."""


class VideoError(Exception):
    """A video cannot be upscaled; the message names the file and the remedy."""


class NoVideoError(VideoError):
    """The file has no moving picture."""


class CorruptVideoError(VideoError):
    """The file cannot be read as a video at all."""


class UnsuitableVideoError(VideoError):
    """The frames are too large, too small or too narrow."""


class UnwritableVideoError(VideoError):
    """The format is not written, or cannot hold what is to be in it."""
