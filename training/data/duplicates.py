"""Finding faces that are likely the same photograph, by a perceptual hash of the aligned face.

Files of one photograph differ in crop, size, turn and compression, so their bytes tell nothing. The
hash is of the face in one framing, whatever its own crop, found by its landmarks.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.faces.framing import TEMPLATE, fit_similarity, mesh_points
from model_store.image_tensor import RgbImage
from training.data.pack import Duplicate, FacePack

# Measured on the 17,844 faces of seven sets. Of 168 pairs within 42 bits the widest 19 and 40 of
# the others were looked at: all but one are one photograph (scanned, turned, coloured or retouched
# otherwise). From 43 to 50 bits about half are two people of one expression; the median of two
# faces is 118. Of 300 faces that were cut anew, shrunk to 90 px and saved as JPEG of quality 50,
# half stay within 31 bits and nine in ten within 48.
MAX_DISTANCE = 42

_GRID_PX = 32
_REDUCED_PX = 64  # of the whole crop, so that the grid's pixels are not picked from too fine ones
_ZOOM = 1.5  # of the pack's framing: what is left is face, which every crop holds
_FREQUENCIES = 16  # a side: 16 * 16 - 1 = 255 bits, without the mean
_TILE = 2048  # hashes that are compared with as many others at once

Hashes = npt.NDArray[np.bool_]
"""(N, 255)."""


def hash_faces(pack: FacePack) -> Hashes:
    """Hash every face of a pack.

    A face is turned and sized by its landmarks to a grid of 32 x 32 grey pixels; a bit says whether
    one of the grid's low DCT coefficients is above their median (as in pHash, Zauner 2010).
    """
    pairs = zip(pack.images, pack.landmarks, strict=True)
    return np.stack([_hash_face(np.asarray(i), np.asarray(lm)) for i, lm in pairs])


def find_duplicates(pack: FacePack, others: Sequence[FacePack]) -> list[Duplicate]:
    """Find the pairs within a pack, and between it and other packs, in the pack's order."""
    hashes = hash_faces(pack)
    found = [
        Duplicate(
            file=pack.records[row].file,
            other=pack.records[column].file,
            pack=None,
            distance=distance,
        )
        for row, column, distance in _close_pairs(hashes, hashes)
        if row < column
    ]
    for other in others:
        found += [
            Duplicate(
                file=pack.records[row].file,
                other=other.records[column].file,
                pack=other.name,
                distance=distance,
            )
            for row, column, distance in _close_pairs(hashes, hash_faces(other))
        ]
    return found


def _hash_face(image: RgbImage, landmarks: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    grey = Image.fromarray(image).convert("L")
    reduced = grey.resize((_REDUCED_PX, _REDUCED_PX), Image.Resampling.BOX)
    points = mesh_points(landmarks, width=_REDUCED_PX, height=_REDUCED_PX)
    forward = fit_similarity(points, ((TEMPLATE - 0.5) * _ZOOM + 0.5) * _GRID_PX)
    inverse = np.linalg.inv(np.vstack([forward, [0, 0, 1]]))[:2]
    grid = reduced.transform(
        (_GRID_PX, _GRID_PX),
        Image.Transform.AFFINE,
        tuple(inverse.flatten().tolist()),
        Image.Resampling.BILINEAR,
    )
    index = np.arange(_GRID_PX)
    waves = np.arange(_FREQUENCIES)[:, None]
    basis = np.cos((2 * index + 1) * waves * np.pi / (2 * _GRID_PX))
    coefficients = (basis @ np.asarray(grid, dtype=np.float64) @ basis.T).flatten()[1:]
    bits: npt.NDArray[np.bool_] = coefficients > np.median(coefficients)
    return bits


def _close_pairs(rows: Hashes, columns: Hashes) -> Iterator[tuple[int, int, int]]:
    """Yield (row, column, distance) of all pairs within MAX_DISTANCE, by row, then by column."""
    # Of vectors of +-1 the dot product is the bits that agree less those that differ.
    num_bits = rows.shape[1]
    right = np.where(columns, np.float32(1), np.float32(-1))
    for top in range(0, len(rows), _TILE):
        left = np.where(rows[top : top + _TILE], np.float32(1), np.float32(-1))
        close: list[tuple[int, int, int]] = []
        for start in range(0, len(columns), _TILE):
            distances = (num_bits - left @ right[start : start + _TILE].T) / 2
            found = np.nonzero(distances <= MAX_DISTANCE)
            close += [
                (top + int(i), start + int(j), round(float(distances[i, j])))
                for i, j in zip(*found, strict=True)
            ]
        yield from sorted(close)
