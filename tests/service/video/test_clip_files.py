"""Videos read and written: pictures, times, sound, colours, turns, and files that are broken."""

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from model_store.image_tensor import RgbImage

pytest.importorskip("av", reason="needs PyAV, an extra: pip install '.[video]'")

from service.video.clip_reader import ClipFrame, ClipReader
from service.video.clip_writer import ClipWriter
from service.video.errors import CorruptVideoError, NoVideoError, UnwritableVideoError, VideoError
from tests.service.video.clips import audio_packets, destroy_packets, read_frames, write_clip


def frames_of(count: int, width: int = 64, height: int = 48) -> list[RgbImage]:
    """Smooth frames whose colours move on."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    return [
        np.stack([(x * 3 + k * 9) % 200 + 20, y * 3 + 40, 255 - x * 2], -1).astype(np.uint8)
        for k in range(count)
    ]


def copy(source: Path, target: Path, *, factor: int = 1) -> ClipReader:
    """Read all, and write it again; returns the closed reader."""
    reader = ClipReader(source)
    width, height = reader.info.width * factor, reader.info.height * factor
    writer = ClipWriter(target, reader.info, width=width, height=height, audio=reader.audio)
    try:
        for event in reader.read():
            if isinstance(event, ClipFrame):
                enlarged = event.rgb.repeat(factor, 0).repeat(factor, 1)
                writer.write_frame(enlarged, pts=event.pts)
            else:
                writer.write_audio(event)
        writer.finish()
    finally:
        writer.discard()
        reader.close()
    return reader


def test_picture_times_and_sound_come_through(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    frames = frames_of(12)
    write_clip(source, frames, audio_seconds=0.5)
    reader = copy(source, target, factor=2)
    assert (reader.info.width, reader.info.height, reader.info.rate) == (64, 48, Fraction(25))
    assert (reader.info.num_frames, reader.num_corrupt) == (12, 0)
    pictures, times = read_frames(target)
    assert times == pytest.approx([k / 25 for k in range(12)])
    assert pictures[5].shape == (96, 128, 3)
    difference = pictures[5][::2, ::2].astype(int) - frames[5]
    assert np.abs(difference).mean() < 4
    assert audio_packets(target) == audio_packets(source)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "out.mp4"]


def test_uneven_times_are_kept_in_other_containers_too(tmp_path: Path) -> None:
    pts = [0, 400, 1600, 1700, 4000]
    write_clip(tmp_path / "in.mkv", frames_of(5), pts=pts)
    copy(tmp_path / "in.mkv", tmp_path / "out.webm")
    copy(tmp_path / "in.mkv", tmp_path / "out.mov")
    for name in ("out.webm", "out.mov"):
        assert read_frames(tmp_path / name)[1] == pytest.approx(
            [at / 12800 for at in pts], abs=1e-3
        )


@pytest.mark.parametrize(("rotation", "turns"), [(-90, 3), (90, 1), (180, 2)])
def test_turned_clip_is_read_and_written_upright(rotation: int, turns: int, tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    frames = frames_of(3)
    write_clip(source, frames, rotation=rotation)
    copy(source, target)
    pictures, _ = read_frames(target)
    upright = np.rot90(frames[1], turns)
    assert pictures[1].shape == upright.shape
    assert np.abs(pictures[1].astype(int) - upright).mean() < 4
    assert ClipReader(target).info.quarter_turns == 0


def test_odd_sides_get_their_edge_again(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", frames_of(2))
    reader = ClipReader(tmp_path / "in.mp4")
    writer = ClipWriter(tmp_path / "out.mp4", reader.info, width=63, height=47, audio=None)
    writer.write_frame(frames_of(1, 63, 47)[0], pts=0)
    writer.finish()
    reader.close()
    assert read_frames(tmp_path / "out.mp4")[0][0].shape == (48, 64, 3)


def test_corrupt_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, frames_of(20))
    destroy_packets(source, [11, 12])
    reader = copy(source, target)
    pictures, times = read_frames(target)
    assert reader.num_corrupt == 2
    assert len(pictures) == 18
    assert times == sorted(times)


# --- what is refused ---


def without_picture(path: Path) -> None:
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(4000))


def no_video(path: Path) -> None:
    path.write_bytes(b"no video at all" * 50)


def playlist(path: Path) -> None:
    write_clip(path.with_name("other.mp4"), frames_of(1))
    path.write_text("ffconcat version 1.0\nfile other.mp4\n", "utf-8")


def only_broken_frames(path: Path) -> None:
    write_clip(path, frames_of(3))
    data = path.read_bytes()
    begin = data.find(b"mdat") + 4
    end = data.find(b"moov") - 4
    path.write_bytes(data[:begin] + bytes(end - begin) + data[end:])


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (without_picture, NoVideoError, "holds no moving picture; name a video file"),
        (no_video, CorruptVideoError, "is no video file that can be read"),
        (playlist, CorruptVideoError, "only names other files; name a video file"),
        (only_broken_frames, CorruptVideoError, "no frame of "),
    ],
)
def test_file_that_is_no_clip_is_told(
    make: Callable[[Path], None], error: type[VideoError], says: str, tmp_path: Path
) -> None:
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(error, match=says):
        ClipReader(path)


def test_sound_that_the_format_cannot_hold_is_told_with_the_remedy(tmp_path: Path) -> None:
    write_clip(tmp_path / "in.mp4", frames_of(5), audio_seconds=0.2)
    with pytest.raises(UnwritableVideoError, match=r"cannot hold this clip .* ends in \.mkv"):
        copy(tmp_path / "in.mp4", tmp_path / "out.webm")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4"]
