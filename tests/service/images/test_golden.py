"""Every kind of pixels that a file can hold becomes what the golden files say.

`golden/make_golden.py` wrote them.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.images import ImageLimits, decode_image

FOLDER = Path(__file__).resolve().parent / "golden"
FILES = sorted(path for path in FOLDER.iterdir() if path.suffix in (".png", ".jpg", ".webp"))
SOURCES = [path for path in FILES if not path.name.endswith(".rgba.png")]

LIMITS = ImageLimits(
    max_image_bytes=2**20, min_image_side_px=8, max_image_side_px=1024, max_aspect_ratio=4
)


def tolerance(name: str) -> int:
    """Levels by which a file may be off: what its coding loses, or a profile's rounding."""
    if "profile" in name:
        return 2
    if "lossy" in name:
        return 10
    return 6 if name.endswith(".jpg") else 0


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_golden_file_becomes_what_was_computed_for_it(source: Path) -> None:
    expected = np.asarray(Image.open(source.with_name(f"{source.stem}.rgba.png")))
    decoded = decode_image(source.read_bytes(), LIMITS)
    alpha = np.full(decoded.rgb.shape[:2], 255) if decoded.alpha is None else decoded.alpha
    difference = np.abs(np.dstack([decoded.rgb, alpha]).astype(int) - expected)
    assert difference.max() <= tolerance(source.name)
    assert (decoded.alpha is not None) == any(
        word in source.name for word in ("alpha", "key", "rgba")
    )
    assert decoded.rgb.flags.c_contiguous


def test_there_is_a_golden_file_for_every_kind() -> None:
    assert len(SOURCES) == 48
