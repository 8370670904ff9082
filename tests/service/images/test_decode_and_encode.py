import contextlib
import io
import threading

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from service.errors import (
    AnimatedImageError,
    CorruptImageError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    ImageTooNarrowError,
    ImageTooSmallError,
    UnsupportedImageFormatError,
)
from service.images import (
    DecodedImage,
    ImageCodec,
    ImageLimits,
    MediaType,
    decode_image,
    encode_image,
    resize_alpha,
)
from service.images.container import take_apart
from service.images.header import read_header
from tests.service.images.hostile import png_that_says
from tests.service.support import as_array, as_file, noise, plain

# Pillow warns of malformed metadata; the command line silences it, see service.cli.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

LIMITS = ImageLimits(
    max_image_bytes=2**20, min_image_side_px=8, max_image_side_px=1024, max_aspect_ratio=4
)


# --- pixels ---


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_lossless_rgb_comes_back_exactly(form: str) -> None:
    image = noise(24, 20)
    decoded = decode_image(as_file(image, form, lossless=True), LIMITS)
    assert np.array_equal(decoded.rgb, image)
    assert decoded.alpha is None
    assert (decoded.width, decoded.height) == (24, 20)


def test_jpeg_comes_back_close() -> None:
    decoded = decode_image(as_file(plain(77), "JPEG", quality=95), LIMITS)
    assert np.abs(decoded.rgb.astype(int) - 77).max() <= 1


def test_decoded_pixels_own_their_memory() -> None:
    decoded = decode_image(as_file(noise()), LIMITS)
    assert decoded.rgb.flags.writeable
    assert decoded.rgb.flags.c_contiguous


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise()[..., 0]
    decoded = decode_image(as_file(Image.fromarray(grey)), LIMITS)
    assert np.array_equal(decoded.rgb, np.dstack([grey, grey, grey]))


def test_grey_with_alpha_keeps_both() -> None:
    grey, alpha = noise()[..., 0], noise(seed=1)[..., 0]
    image = Image.merge("LA", [Image.fromarray(grey), Image.fromarray(alpha)])
    decoded = decode_image(as_file(image), LIMITS)
    assert np.array_equal(decoded.rgb, np.dstack([grey, grey, grey]))
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, alpha)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_alpha_stands_beside_the_colours(form: str) -> None:
    rgba = np.dstack([noise(), noise(seed=1)[..., 0] | 1])
    decoded = decode_image(as_file(Image.fromarray(rgba), form, lossless=True, exact=True), LIMITS)
    assert np.array_equal(decoded.rgb, rgba[..., :3])
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, rgba[..., 3])


def test_palette_becomes_its_colours() -> None:
    image = Image.fromarray(noise()).quantize(16)
    decoded = decode_image(as_file(image), LIMITS)
    assert np.array_equal(decoded.rgb, np.asarray(image.convert("RGB")))
    assert decoded.alpha is None


def test_transparent_palette_entry_becomes_alpha() -> None:
    image = Image.fromarray(noise()).quantize(16)
    decoded = decode_image(as_file(image, transparency=3), LIMITS)
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha == 0, np.asarray(image) == 3)


def test_transparent_colour_becomes_alpha() -> None:
    image = noise()
    image[0, 0] = (1, 2, 3)
    decoded = decode_image(as_file(image, transparency=(1, 2, 3)), LIMITS)
    assert decoded.alpha is not None
    assert decoded.alpha[0, 0] == 0
    assert decoded.alpha[1, 1] == 255


def test_black_and_white_becomes_rgb() -> None:
    image = Image.fromarray(noise()[..., 0] > 127)
    decoded = decode_image(as_file(image), LIMITS)
    assert np.array_equal(decoded.rgb[..., 0], np.asarray(image) * 255)


def test_cmyk_becomes_rgb() -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))  # red
    decoded = decode_image(as_file(image, "JPEG", quality=95), LIMITS)
    assert np.abs(decoded.rgb[5, 5].astype(int) - (255, 0, 0)).max() <= 3


def test_of_sixteen_bit_grey_the_upper_eight_are_kept() -> None:
    levels = np.random.default_rng(0).integers(0, 2**16, (20, 20), dtype=np.uint16)
    decoded = decode_image(as_file(Image.fromarray(levels)), LIMITS)
    assert np.array_equal(decoded.rgb[..., 0], levels >> 8)


def test_transparent_sixteen_bit_level_becomes_alpha() -> None:
    levels = np.arange(400, dtype=np.uint16).reshape(20, 20) * 100
    image = Image.fromarray(levels)
    image.info["transparency"] = 300
    decoded = decode_image(as_file(image, transparency=300), LIMITS)
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha == 0, levels == 300)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = Image.fromarray(noise(24, 16))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = decode_image(as_file(stored, exif=exif), LIMITS)
    assert np.array_equal(decoded.rgb, np.asarray(upright))


@pytest.mark.parametrize("exif", [b"Exif\x00\x00garbage", b"Exif\x00\x00II*\x00\xff\xff\xff\xff"])
def test_malformed_exif_is_no_error(exif: bytes) -> None:
    decoded = decode_image(as_file(plain(9), "JPEG", exif=exif), LIMITS)
    assert decoded.rgb.shape == (32, 32, 3)


# --- limits and broken files ---


@pytest.mark.parametrize(
    ("width", "height", "error", "says"),
    [
        (1, 1, ImageTooSmallError, "image is 1 x 1 px; each side must be 8 to 1024 px"),
        (4, 2000, ImageTooSmallError, "image is 4 x 2000 px; each side must be 8 to 1024 px"),
        (9000, 9000, ImageTooLargeError, "image is 9000 x 9000 px; each side must be 8 to 1024"),
        (60000, 60000, ImageTooLargeError, "crop the face or scale it down"),
        (1025, 512, ImageTooLargeError, "image is 1025 x 512 px"),
        (8, 33, ImageTooNarrowError, "the longer side may be at most 4 times the shorter one"),
    ],
)
def test_size_is_refused_by_the_header_alone(
    width: int, height: int, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        decode_image(png_that_says(width, height), LIMITS)


@pytest.mark.parametrize(("width", "height"), [(8, 8), (8, 32), (1024, 1024)])
def test_sizes_at_the_limits_are_taken(width: int, height: int) -> None:
    decoded = decode_image(as_file(plain(5, width, height)), LIMITS)
    assert (decoded.width, decoded.height) == (width, height)


def test_too_many_bytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(ImageTooLargeError, match="has 1048577 bytes; at most 1048576 are taken"):
        decode_image(bytes(2**20 + 1), LIMITS)


def test_no_bytes_are_no_image() -> None:
    with pytest.raises(EmptyImageError, match="has 0 bytes"):
        decode_image(b"", LIMITS)


@pytest.mark.parametrize("data", [b"hello, I am a text", b"GIF89a" + bytes(50), b"\x00" * 100])
def test_other_formats_are_refused_by_their_bytes(data: bytes) -> None:
    with pytest.raises(UnsupportedImageFormatError, match="no JPEG, PNG or WebP image"):
        decode_image(data, LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_truncated_file_is_corrupt_wherever_it_ends(form: str) -> None:
    data = as_file(noise(64, 64), form)
    for length in range(12, len(data) - 12, max(1, len(data) // 40)):
        with pytest.raises(CorruptImageError, match=r"ends|begins with|tells no size"):
            decode_image(data[:length], LIMITS)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_flipped_bytes_never_raise_anything_else(form: str) -> None:
    data = as_file(noise(24, 24), form)
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            broken[position] = rng.integers(0, 256)
        with contextlib.suppress(ImageError):
            decode_image(bytes(broken), LIMITS)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animation_is_refused(form: str) -> None:
    frames = [Image.fromarray(noise(seed=seed)) for seed in range(3)]
    data = as_file(frames[0], form, save_all=True, append_images=frames[1:])
    with pytest.raises(AnimatedImageError, match="has 3 frames; send one frame"):
        decode_image(data, LIMITS)


def test_jpeg_with_further_pictures_behind_it_is_its_first_picture() -> None:
    first, second = Image.fromarray(plain(50)), Image.fromarray(plain(200))
    data = as_file(first, "MPO", save_all=True, append_images=[second])
    assert abs(int(decode_image(data, LIMITS).rgb[0, 0, 0]) - 50) <= 1


@pytest.mark.parametrize("size", [(8, 8), (9, 31), (300, 200)])
def test_plain_png_is_decoded_from_its_rows_as_pillow_does(size: tuple[int, int]) -> None:
    smooth = Image.linear_gradient("L").resize(size).convert("RGB")  # is filtered, noise is not
    for pixels in (noise(*size), np.array(smooth)):
        data = as_file(pixels)
        assert take_apart(data, "PNG").rows is not None
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(decode_image(data, LIMITS).rgb, np.array(image))


def test_png_whose_header_is_damaged_is_corrupt() -> None:
    data = bytearray(as_file(noise(16, 16)))
    data[32] ^= 1  # the last byte of the header's checksum
    with pytest.raises(CorruptImageError):
        decode_image(bytes(data), LIMITS)


def test_png_that_tells_its_size_twice_is_held_to_the_second() -> None:
    honest = png_that_says(32, 32)
    lying = honest[:33] + png_that_says(5000, 5000)[8:33] + honest[33:]
    assert read_header(lying).width == 32
    with pytest.raises((ImageTooLargeError, CorruptImageError)):
        decode_image(lying, LIMITS)


def test_jpeg_of_endless_empty_segments_is_given_up() -> None:
    with pytest.raises(CorruptImageError, match="tells no size"):
        read_header(b"\xff\xd8" + b"\xff\xe0\x00\x02" * 100_000)


def test_fill_bytes_before_a_jpeg_marker_are_skipped() -> None:
    data = as_file(plain(9, 24, 16), "JPEG")
    header = read_header(data[:2] + b"\xff\xff\xff" + data[2:])
    assert (header.width, header.height) == (24, 16)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"exif": b"Exif\0\0II"}])
def test_header_of_every_kind_of_webp_is_read(options: dict[str, object]) -> None:
    header = read_header(as_file(noise(40, 24), "WEBP", **options))
    assert (header.format, header.width, header.height) == ("WEBP", 40, 24)


# --- encoding ---


def test_png_and_its_alpha_come_back_exactly() -> None:
    rgb, alpha = noise(), noise(seed=1)[..., 0]
    image = Image.open(io.BytesIO(encode_image(rgb, "image/png", alpha=alpha)))
    assert np.array_equal(np.asarray(image), np.dstack([rgb, alpha]))


def test_webp_keeps_alpha() -> None:
    alpha = noise(seed=1)[..., 0]
    image = Image.open(io.BytesIO(encode_image(noise(), "image/webp", alpha=alpha)))
    assert np.array_equal(np.asarray(image)[..., 3], alpha)


def test_jpeg_lays_transparent_pixels_on_white() -> None:
    alpha = np.zeros((32, 32), dtype=np.uint8)
    alpha[:, 16:] = 255
    image = np.asarray(Image.open(io.BytesIO(encode_image(plain(0), "image/jpeg", alpha=alpha))))
    assert image[:, :8].min() >= 250
    assert image[:, 24:].max() <= 5


def test_jpeg_does_not_halve_its_colours() -> None:
    image = Image.open(io.BytesIO(encode_image(noise(), "image/jpeg")))
    assert [component[1:3] for component in image.layer] == [(1, 1)] * 3  # type: ignore[attr-defined]


def test_jpeg_is_transformed_exactly() -> None:
    by_pillow = as_array(as_file(noise(), "JPEG", quality=96, subsampling=0))
    assert np.array_equal(as_array(encode_image(noise(), "image/jpeg")), by_pillow)


@pytest.mark.parametrize("media_type", ["image/jpeg", "image/png", "image/webp"])
def test_nothing_of_the_source_but_its_pixels_is_written(media_type: MediaType) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a secret"
    data = as_file(noise(), "JPEG", exif=exif, comment=b"another secret", icc_profile=b"secret" * 9)
    decoded = decode_image(data, LIMITS)
    assert b"secret" not in encode_image(decoded.rgb, media_type)


def test_alpha_is_resized_to_the_colours() -> None:
    assert np.array_equal(
        resize_alpha(plain(80)[..., 0], width=107, height=128), np.full((128, 107), 80)
    )


# --- the codec's threads ---


@pytest.mark.anyio
async def test_codec_works_off_the_event_loop() -> None:
    codec = ImageCodec(LIMITS, photo_limits=LIMITS, num_threads=1)
    decoded = await codec.decode(as_file(plain(7, 100, 100)))
    data = await codec.encode(decoded.rgb, "image/png")
    codec.close()
    assert np.array_equal(decode_image(data, LIMITS).rgb, plain(7, 100, 100))


@pytest.mark.anyio
@pytest.mark.parametrize("count", [0, 1, 2, 7])
async def test_items_are_spread_over_all_threads_and_their_results_come_in_order(
    count: int,
) -> None:
    codec = ImageCodec(LIMITS, photo_limits=LIMITS, num_threads=2)
    both = threading.Barrier(2, timeout=30)

    def work(item: int) -> int:
        if count > 1 and item in (0, count - 1):
            both.wait()  # the first and the last are worked on at the same time
        return item * item

    results = await codec.compute_each(work, range(count))
    codec.close()
    assert results == [item * item for item in range(count)]


@pytest.mark.anyio
async def test_files_of_few_bytes_wake_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def decode(data: bytes, limits: ImageLimits) -> DecodedImage:
        threads.append(threading.get_ident())
        return decode_image(data, limits)

    monkeypatch.setattr("service.images.codec.decode_image", decode)
    codec = ImageCodec(LIMITS, photo_limits=LIMITS, num_threads=2)
    levels = [7, 90, 200]
    images = await codec.decode_all([as_file(plain(level, 128, 128)) for level in levels])
    codec.close()
    assert [image.rgb[0, 0, 0] for image in images if isinstance(image, DecodedImage)] == levels
    assert len(set(threads)) == 1
    assert threading.get_ident() not in threads


@pytest.fixture
def codec_without_threads() -> ImageCodec:
    codec = ImageCodec(LIMITS, photo_limits=LIMITS, num_threads=1)
    codec.close()
    return codec


@pytest.mark.anyio
async def test_small_faces_need_no_thread(codec_without_threads: ImageCodec) -> None:
    for form in ("PNG", "JPEG", "WEBP"):
        decoded = await codec_without_threads.decode(as_file(noise(), form))
        assert decoded.width == 32
    data = await codec_without_threads.encode(noise(128, 128), "image/jpeg")
    assert decode_image(data, LIMITS).width == 128


@pytest.mark.anyio
@pytest.mark.parametrize(
    "file",
    [
        pytest.param(as_file(plain(7, 100, 100)), id="of many pixels"),
        pytest.param(as_file(noise(64, 64)), id="of many bytes"),
        pytest.param(as_file(plain(7), icc_profile=b"a profile"), id="with a profile"),
    ],
)
async def test_other_files_are_left_to_threads(
    codec_without_threads: ImageCodec, file: bytes
) -> None:
    with pytest.raises(RuntimeError, match="after shutdown"):
        await codec_without_threads.decode(file)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("image", "media_type"),
    [(noise(129, 128), "image/jpeg"), (noise(), "image/png"), (noise(), "image/webp")],
)
async def test_other_results_are_left_to_threads(
    codec_without_threads: ImageCodec, image: RgbImage, media_type: MediaType
) -> None:
    with pytest.raises(RuntimeError, match="after shutdown"):
        await codec_without_threads.encode(image, media_type)
