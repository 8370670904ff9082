"""Frames and sound out of a video file, one after the other, by PyAV (FFmpeg)."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace
from av.video.stream import VideoStream

from model_store.image_tensor import RgbImage
from service.video.errors import CorruptVideoError, NoVideoError

# FFmpeg's numbers (libavutil/pixfmt.h): 1 is BT.709, 2 says nothing, 5 and 6 are BT.601's.
_BT709, _UNSPECIFIED = 1, 2
# To FFmpeg these are videos; they hold none but name files, which may lie anywhere.
_PLAYLISTS = frozenset({"hls", "applehttp", "concat", "dash", "imf", "sdp"})
# What says nothing is taken as players take it: from this height on it is BT.709.
_HD_HEIGHT_PX = 720


@dataclass(frozen=True, kw_only=True)
class ClipInfo:
    """What is known of a clip before it is read.

    Attributes:
        width: of an upright frame, in px.
        height: of an upright frame, in px.
        quarter_turns: counter-clockwise, that make a stored frame upright.
        rate: frames a second, on average.
        time_base: seconds of a unit of `ClipFrame.pts`.
        num_frames: as the file says or its duration tells; 0 where neither does.
        is_bt709: by which matrix its colours were coded, else BT.601's.
        pixel_aspect: width over height of a pixel, of upright frames.
    """

    width: int
    height: int
    quarter_turns: int
    rate: Fraction
    time_base: Fraction
    num_frames: int
    is_bt709: bool
    pixel_aspect: Fraction


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """An upright frame and when it is shown.

    Attributes:
        rgb: (H, W, 3) uint8.
        pts: in units of the clip's time base; rises from frame to frame.
    """

    rgb: RgbImage
    pts: int


class ClipReader:
    """An open video file; close it.

    Attributes:
        info: of its picture.
    """

    def __init__(self, path: Path) -> None:
        """Open a file and look at its first frame.

        Raises:
            CorruptVideoError: no video file, or none of its frames can be decoded.
            NoVideoError: it has no moving picture.
            OSError: it cannot be read.
        """
        self.info = look_at_clip(path)
        self._container = _open(path)
        self._video = _video_of(self._container)
        self._video.thread_type = "AUTO"
        # Else FFmpeg makes up what is missing, and hardly ever says so.
        self._video.codec_context.options = {"err_detect": "explode"}
        self._num_refused = 0
        self._num_packets = 0
        self._num_frames = 0
        self._last_pts: int | None = None

    @property
    def audio(self) -> AudioStream | None:
        """The sound's stream, the first if there are several."""
        streams = self._container.streams.audio
        return streams[0] if streams else None

    @property
    def num_corrupt(self) -> int:
        """Frames that could not be decoded, once all is read.

        A decoder refuses a frame that is corrupt, and says nothing of those that were to be made
        from it; without a corrupt one, a packet that gives no frame (VP8 has such) is no loss.
        """
        lost = self._num_packets - self._num_frames
        return max(self._num_refused, lost) if self._num_refused else 0

    def close(self) -> None:
        self._container.close()

    def read(self) -> Iterator["ClipFrame | Packet[Stream]"]:
        """Everything in the order of the file: frames decoded, sound as it is.

        A frame that is corrupt is left out and counted, as is what follows the place where the file
        breaks off.
        """
        audio = self.audio
        streams = [self._video] if audio is None else [self._video, audio]
        packets = self._container.demux(*streams)
        while True:
            try:
                packet = next(packets, None)
            except av.FFmpegError:
                self._num_refused += 1
                packet = None
            if packet is None:
                return
            if packet.stream is audio:
                if packet.dts is not None:  # the last one only says that it is the last
                    yield packet
            else:
                yield from self._decode(packet)

    def _decode(self, packet: "Packet[Stream]") -> Iterator[ClipFrame]:
        self._num_packets += packet.size > 0
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._num_refused += 1
            return
        for frame in frames:
            if not isinstance(frame, VideoFrame):
                continue
            pts = self._next_pts(frame)
            if frame.is_corrupt or pts is None:
                self._num_refused += 1
                continue
            self._last_pts = pts
            self._num_frames += 1
            yield ClipFrame(_upright(frame, self.info), pts)

    def _next_pts(self, frame: VideoFrame) -> int | None:
        """When a frame is shown; None where that is not after the one before."""
        pts = frame.pts
        if pts is None:
            step = max(1, round(1 / self.info.rate / self.info.time_base))
            return 0 if self._last_pts is None else self._last_pts + step
        return pts if self._last_pts is None or pts > self._last_pts else None


def look_at_clip(path: Path) -> ClipInfo:
    """Tell what a clip is by its first frame; raises as `ClipReader` does."""
    container = _open(path)
    try:
        video = _video_of(container)
        frame = _first_frame(container, video, path)
        rate = video.average_rate or video.guessed_rate or Fraction(25)
        if video.time_base is None:
            raise CorruptVideoError(f"{path} says nothing of its time; convert it to MP4 first")
        num_frames = video.frames
        if not num_frames and container.duration:
            num_frames = round(container.duration / av.time_base * rate)
        turns = round(frame.rotation / 90) % 4
        aspect = video.codec_context.sample_aspect_ratio or Fraction(1)
        sides = (frame.width, frame.height)
        return ClipInfo(
            width=sides[turns % 2],
            height=sides[1 - turns % 2],
            quarter_turns=turns,
            rate=rate,
            time_base=video.time_base,
            num_frames=num_frames,
            is_bt709=frame.colorspace == _BT709
            or (frame.colorspace == _UNSPECIFIED and frame.height >= _HD_HEIGHT_PX),
            pixel_aspect=1 / aspect if turns % 2 else aspect,
        )
    finally:
        container.close()


def _open(path: Path) -> InputContainer:
    try:
        container = av.open(
            str(path), options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise CorruptVideoError(
            f"{path} is no video file that can be read ({error.strerror}); export it again as MP4"
        ) from error
    if _PLAYLISTS & set(container.format.name.split(",")):
        container.close()
        raise CorruptVideoError(f"{path} only names other files; name a video file")
    return container


def _video_of(container: InputContainer) -> VideoStream:
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:  # the cover of a song
            return stream
    raise NoVideoError(f"{container.name} holds no moving picture; name a video file")


def _first_frame(container: InputContainer, video: VideoStream, path: Path) -> VideoFrame:
    try:
        for packet in container.demux(video):
            try:
                for frame in packet.decode():
                    return frame
            except av.FFmpegError:
                continue
    except av.FFmpegError:
        pass
    raise CorruptVideoError(f"no frame of {path} can be decoded; export it again as MP4")


def _upright(frame: VideoFrame, info: ClipInfo) -> RgbImage:
    matrix = Colorspace.ITU709 if info.is_bt709 else Colorspace.ITU601
    rgb = frame.reformat(format="rgb24", src_colorspace=matrix).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, info.quarter_turns), dtype=np.uint8)
