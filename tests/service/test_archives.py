import io
import struct
import time
import zipfile
from collections.abc import Mapping

import pytest

from service.archives import ArchivedFile, ArchiveLimits, unpack_images
from service.errors import (
    ArchiveTooLargeError,
    CorruptArchiveError,
    EmptyBodyError,
    TooManyImagesError,
)

LIMITS = ArchiveLimits(max_images=3, max_image_bytes=1000, max_total_bytes=2000)


def packed(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_files_come_out_in_order_with_their_names() -> None:
    data = packed({"b/one.png": b"1", "b/": b"", "a.jpg": b"22"})
    assert unpack_images(data, LIMITS) == [
        ArchivedFile("b/one.png", b"1"),
        ArchivedFile("a.jpg", b"22"),
    ]


def test_hidden_files_and_those_of_macos_are_left_alone() -> None:
    data = packed({"__MACOSX/._a.png": b"x", ".cache/a.png": b"x", "._a.png": b"x", "a.png": b"1"})
    assert [file.name for file in unpack_images(data, LIMITS)] == ["a.png"]


@pytest.mark.parametrize(
    "data", [b"", b"PK", b"no archive", packed({"a.png": bytes(99)})[:-30]], ids=len
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptArchiveError, match="is no zip file, or broken; pack it again"):
        unpack_images(data, LIMITS)


def test_broken_file_is_named_by_its_number() -> None:
    data = packed({"a.png": b"sound", "b.png": b"to be broken"}, zipfile.ZIP_STORED)
    with pytest.raises(CorruptArchiveError, match="file 2 of the archive is broken"):
        unpack_images(data.replace(b"to be broken", b"to be br0ken"), LIMITS)


def test_archive_without_a_file_is_refused() -> None:
    with pytest.raises(EmptyBodyError, match="holds no image"):
        unpack_images(packed({"folder/": b""}), LIMITS)


def test_more_files_than_a_request_may_hold_are_refused() -> None:
    with pytest.raises(TooManyImagesError, match="holds 4 files; one request may hold 3"):
        unpack_images(packed({f"{i}.png": b"x" for i in range(4)}), LIMITS)


@pytest.mark.parametrize(
    "name",
    ["../a.png", "a/../../b.png", "/a.png", "C:/a.png", "a\\b.png", "\x1b[2J.png", "a" * 256],
)
def test_names_that_lead_elsewhere_or_cannot_be_printed_are_refused(name: str) -> None:
    with pytest.raises(CorruptArchiveError, match=r"file 1 of the archive has a name .*rename it"):
        unpack_images(packed({name: b"x"}), LIMITS)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_can_ask_for_much_memory_are_refused(method: int) -> None:
    with pytest.raises(CorruptArchiveError, match=f"packed by method {method}; pack it stored"):
        unpack_images(packed({"a.png": b"x"}, method), LIMITS)


def test_encrypted_files_are_refused() -> None:
    data = bytearray(packed({"a.png": b"x"}))
    directory = data.find(b"PK\x01\x02")
    data[directory + 8] |= 1
    with pytest.raises(CorruptArchiveError, match="is encrypted; pack it without a password"):
        unpack_images(bytes(data), LIMITS)


# --- bombs ---


def test_file_that_unpacks_to_too_much_is_refused_before_it_is_unpacked() -> None:
    bomb = packed({"a.png": bytes(50_000_000)})
    assert len(bomb) < 60_000
    started_at = time.process_time()
    with pytest.raises(ArchiveTooLargeError, match=r"file 1 .* 50000000 bytes; at most 1000 are"):
        unpack_images(bomb, LIMITS)
    assert time.process_time() - started_at < 0.1


def test_files_that_unpack_to_too_much_together_are_refused() -> None:
    with pytest.raises(ArchiveTooLargeError, match="unpacks to 2001 bytes; at most 2000"):
        unpack_images(packed({"a": bytes(1000), "b": bytes(1000), "c": b"x"}), LIMITS)


def test_no_more_is_unpacked_than_the_directory_says() -> None:
    data = bytearray(packed({"a.png": bytes(50_000_000)}))
    directory = data.find(b"PK\x01\x02")
    struct.pack_into("<I", data, directory + 24, 10)  # it says: 10 bytes
    started_at = time.process_time()
    with pytest.raises(CorruptArchiveError, match="its bytes are not those that were packed"):
        unpack_images(bytes(data), LIMITS)
    assert time.process_time() - started_at < 0.1


def test_directory_of_a_hundred_thousand_files_is_not_even_read() -> None:
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *[0] * 9, 1, *[0] * 6) + b"a"
    directory = entry * 100_000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 100, 100, len(directory), 0, 0)
    started_at = time.process_time()
    with pytest.raises(TooManyImagesError, match="lists 100000 files and folders; at most 1000"):
        unpack_images(directory + end, LIMITS)
    assert time.process_time() - started_at < 0.1
