"""Make the sample face from a public-domain photograph that scikit-image ships.

The photograph is NASA's official portrait of the astronaut Eileen Collins; terms and source are in
README.md in this folder. Needs the extra `training` (scikit-image). Run it from anywhere:

    .venv/bin/python docs/samples/make_samples.py
"""

import math
from pathlib import Path

from PIL import Image
from skimage import data

FOLDER = Path(__file__).resolve().parent
HR_PX = 128
LR_PX = (32, 16)

# Outer eye corners in the 512 x 512 photograph: points 33 and 263 of MediaPipe's face mesh.
RIGHT_EYE = (195.2, 100.9)
LEFT_EYE = (255.8, 104.3)
# An aligned crop's usual framing: eyes level, at 40 % of its height and 40 % of its width apart.
EYES_HEIGHT = 0.40
EYES_DISTANCE = 0.40
# Read out finer than the photograph, then reduced once: so turning costs no detail.
SUPERSAMPLING = 4


def main() -> None:
    """Write face_128px.png and its reductions."""
    hr = aligned_crop(Image.fromarray(data.astronaut()))
    hr.save(FOLDER / f"face_{HR_PX}px.png", optimize=True)
    for side_px in LR_PX:
        lr = hr.resize((side_px, side_px), Image.Resampling.BICUBIC)
        lr.save(FOLDER / f"face_{side_px}px.png", optimize=True)


def aligned_crop(photo: Image.Image) -> Image.Image:
    """Cut out the face as a level HR_PX square."""
    dx, dy = LEFT_EYE[0] - RIGHT_EYE[0], LEFT_EYE[1] - RIGHT_EYE[1]
    side = math.hypot(dx, dy) / EYES_DISTANCE
    right = (dx / math.hypot(dx, dy) * side, dy / math.hypot(dx, dy) * side)
    down = (-right[1], right[0])
    eyes = ((RIGHT_EYE[0] + LEFT_EYE[0]) / 2, (RIGHT_EYE[1] + LEFT_EYE[1]) / 2)
    corners = []
    for u, v in (
        (-0.5, -EYES_HEIGHT),
        (-0.5, 1 - EYES_HEIGHT),
        (0.5, 1 - EYES_HEIGHT),
        (0.5, -EYES_HEIGHT),
    ):
        corners += [eyes[i] + u * right[i] + v * down[i] for i in range(2)]
    fine = (HR_PX * SUPERSAMPLING, HR_PX * SUPERSAMPLING)
    turned = photo.transform(fine, Image.Transform.QUAD, corners, Image.Resampling.BICUBIC)
    return turned.resize((HR_PX, HR_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
