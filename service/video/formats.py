"""Which files are videos by their name, and how those that are written are coded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.video.errors import UnwritableVideoError


@dataclass(frozen=True)
class VideoFormat:
    """A kind of file.

    Attributes:
        container: FFmpeg's name of it.
        codec: FFmpeg's name of what codes the picture.
        options: of the codec.
    """

    container: str
    codec: str = "libx264"
    # At this quality H.264 adds less noise than a camera.
    options: Mapping[str, str] = field(default_factory=lambda: {"crf": "16"})


WRITTEN_FORMATS = {
    ".mp4": VideoFormat("mp4"),
    ".m4v": VideoFormat("mp4"),
    ".mov": VideoFormat("mov"),
    ".mkv": VideoFormat("matroska"),
    # VP9's scale of quality is another.
    ".webm": VideoFormat("webm", "libvpx-vp9", {"crf": "24", "b": "0", "row-mt": "1"}),
}
_READ_SUFFIXES = frozenset(
    {*WRITTEN_FORMATS, ".avi", ".mpg", ".mpeg", ".wmv", ".ts", ".mts", ".3gp", ".flv", ".ogv"}
)


def is_video(path: Path) -> bool:
    """Whether a file is a video by its name."""
    return path.suffix.lower() in _READ_SUFFIXES


def written_format(path: Path) -> VideoFormat:
    """How a file of this name is written.

    Raises:
        UnwritableVideoError: it is not.
    """
    known = WRITTEN_FORMATS.get(path.suffix.lower())
    if known is None:
        raise UnwritableVideoError(
            f"{path} names no video format that is written; end it in {', '.join(WRITTEN_FORMATS)}"
        )
    return known
