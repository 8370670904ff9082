"""Small video files made on the spot."""

import itertools
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from model_store.image_tensor import RgbImage

TIME_BASE = Fraction(1, 12800)


def write_clip(
    path: Path,
    frames: Iterable[RgbImage],
    *,
    rate: int = 25,
    pts: Iterable[int] | None = None,
    rotation: int = 0,
    audio_seconds: float = 0,
    codec: str = "libx264",
) -> None:
    """Write frames of one size, a key frame every five, and a tone.

    Args:
        path: its suffix says the container.
        frames: (H, W, 3) uint8, sides even.
        rate: frames a second.
        pts: when each is shown, in units of 1 / 12800 s; evenly where there is none.
        rotation: degrees, counter-clockwise, that players turn the frames by.
        audio_seconds: length of the tone; none at 0.
        codec: of the picture.
    """
    waiting = iter(frames)
    first = next(waiting)
    height, width = first.shape[:2]
    times = (int(k / rate / TIME_BASE) for k in itertools.count()) if pts is None else pts
    with av.open(str(path), "w") as container:
        video = container.add_stream(codec, rate=rate, options={"crf": "12", "g": "5"})
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        video.codec_context.time_base = TIME_BASE
        if rotation:
            video.set_display_rotation(rotation)
        audio = container.add_stream("aac", rate=16000) if audio_seconds else None
        for rgb, at in zip(itertools.chain([first], waiting), times, strict=pts is not None):
            frame = VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = at, TIME_BASE
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if isinstance(audio, AudioStream):
            _write_tone(container, audio, seconds=audio_seconds)


def _write_tone(
    container: av.container.OutputContainer, audio: AudioStream, *, seconds: float
) -> None:
    samples = np.sin(np.arange(int(16000 * seconds)) * 0.2).astype(np.float32)
    for start in range(0, len(samples), 1024):
        frame = AudioFrame.from_ndarray(
            samples[None, start : start + 1024], format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts, frame.time_base = 16000, start, Fraction(1, 16000)
        container.mux(audio.encode(frame))
    container.mux(audio.encode(None))


def read_frames(path: Path) -> tuple[list[RgbImage], list[float]]:
    """All frames of a file and the seconds at which they are shown."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [frame.to_ndarray(format="rgb24") for frame in frames], [f.time or 0.0 for f in frames]


def audio_packets(path: Path) -> list[bytes]:
    """The coded sound."""
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def destroy_packets(path: Path, numbers: Iterable[int]) -> None:
    """Overwrite the bytes of some of the coded frames."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
        places = [(packet.pos, packet.size) for packet in packets]
    data = bytearray(path.read_bytes())
    for number in numbers:
        begin, size = places[number]
        assert begin is not None
        data[begin : begin + size] = b"\xff" * size
    path.write_bytes(data)
