"""Frames and sound into a video file that appears when it is whole, by PyAV (FFmpeg)."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream

from model_store.image_tensor import RgbImage
from service.upscale_files.outputs import part_beside
from service.video.clip_reader import ClipInfo
from service.video.errors import UnwritableVideoError
from service.video.formats import VideoFormat, written_format


class ClipWriter:
    """A video file in the making; the sound's packets are written as they come.

    Metadata of the clip that it is made of (place, camera, time) is not copied.
    """

    def __init__(
        self,
        path: Path,
        info: ClipInfo,
        *,
        width: int,
        height: int,
        audio: AudioStream | None,
    ) -> None:
        """Begin a file beside `path`.

        Args:
            path: the file that appears at the end.
            info: of the clip that the frames come from: its times, rate and colours are kept.
            width: of the frames that will be written.
            height: of the frames that will be written.
            audio: the clip's, copied as it is; None for none.

        Raises:
            UnwritableVideoError: the format is not written, or cannot hold the sound.
            OSError: the file cannot be written.
        """
        self._path = path
        self._part = part_beside(path)
        self._info = info
        form = written_format(path)
        # Colour is stored for 2 x 2 px: an odd side gets its last row or column again.
        self._padding = ((0, height % 2), (0, width % 2), (0, 0))
        self._container = av.open(str(self._part), "w", format=form.container)
        try:
            self._video = self._add_video(form)
            self._configure(width + width % 2, height + height % 2)
            self._audio = None if audio is None else self._container.add_stream_from_template(audio)
            self._container.start_encoding()
        except (av.FFmpegError, ValueError) as error:
            self.discard()
            raise UnwritableVideoError(
                f"{path.suffix} cannot hold this clip ({error}); name an OUT that ends in .mkv"
            ) from error

    def _add_video(self, form: VideoFormat) -> VideoStream:
        stream = self._container.add_stream(
            form.codec, rate=self._info.rate, options=dict(form.options)
        )
        if not isinstance(stream, VideoStream):
            raise TypeError(f"{form.codec} codes no picture")
        return stream

    def _configure(self, width: int, height: int) -> None:
        context = self._video.codec_context
        self._video.width, self._video.height = width, height
        self._video.pix_fmt = "yuv420p"
        context.time_base = self._info.time_base
        context.sample_aspect_ratio = self._info.pixel_aspect
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709 if self._info.is_bt709 else Colorspace.ITU601

    def write_frame(self, rgb: RgbImage, *, pts: int) -> None:
        """Write a frame of the size that was said; raises OSError."""
        if any(sum(side) for side in self._padding):
            rgb = np.pad(rgb, self._padding, mode="edge")
        matrix = Colorspace.ITU709 if self._info.is_bt709 else Colorspace.ITU601
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(
            format="yuv420p", dst_colorspace=matrix
        )
        frame.pts, frame.time_base = pts, Fraction(self._info.time_base)
        self._container.mux(self._video.encode(frame))

    def write_audio(self, packet: "Packet[Stream]") -> None:
        """Copy a packet of the sound; raises OSError."""
        if self._audio is not None:
            packet.stream = self._audio
            self._container.mux(packet)

    def finish(self) -> None:
        """Write what is left, and give the file its name; raises OSError."""
        self._container.mux(self._video.encode(None))
        self._container.close()
        self._part.replace(self._path)

    def discard(self) -> None:
        """Close and delete what there is, unless it has got its name."""
        self._container.close()
        self._part.unlink(missing_ok=True)
