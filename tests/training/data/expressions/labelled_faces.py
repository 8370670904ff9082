"""Pictures with expression labels, made up: in folders as data sets lay them out, and in packs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model_store.emotion.classifier import CROP_PX, EMOTIONS
from training.data.expressions.pack import (
    ExpressionFace,
    ExpressionRecord,
    write_expression_pack,
)
from training.data.pack import Split


def write_pictures(folder: Path, count: int, *, side_px: int = 100, stem: str = "face") -> None:
    """Write PNG pictures of coarse noise, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(sum(map(ord, str(folder.name) + stem)))
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        coarse.resize((side_px, side_px), Image.Resampling.BICUBIC).save(
            folder / f"{stem}_{number:04}.png"
        )


def write_tinted_pack(
    folder: Path, counts: Sequence[int], *, splits: Sequence[Split] = ("train", "validation")
) -> None:
    """Write a pack in which an expression is a colour: so many faces of each, in each slice."""
    rng = np.random.default_rng(0)
    # Corners of the colour cube, so that a tiny network soon tells them apart.
    colours = 60 + 130 * ((np.arange(len(EMOTIONS))[:, None] >> np.arange(3)) & 1)
    faces = []
    for split in splits:
        for label, count in enumerate(counts):
            for number in range(count):
                noise = rng.integers(-20, 21, (CROP_PX, CROP_PX, 3))
                record = ExpressionRecord(
                    file=f"{split}/{EMOTIONS[label]}/{number}.png",
                    sha256=f"{label}{number}",
                    expression=EMOTIONS[label],
                    split=split,
                    framing="official",
                )
                faces.append(ExpressionFace(record, (colours[label] + noise).astype(np.uint8)))
    write_expression_pack(folder, faces)
