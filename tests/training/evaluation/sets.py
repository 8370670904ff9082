"""Sets of coarse random faces to measure on."""

import numpy as np
import torch

from training.evaluation.faces import FaceSet


def make_face_set(name: str = "test_faces", *, faces: int = 4) -> FaceSet:
    """Faces whose outer eye corners are 0.4 apart."""
    rng = np.random.default_rng(len(name))
    coarse = rng.integers(0, 256, (faces, 8, 8, 3), dtype=np.uint8)
    images = coarse.repeat(16, axis=1).repeat(16, axis=2)
    landmarks = torch.from_numpy(rng.uniform(0.2, 0.8, (faces, 478, 3))).float()
    landmarks[:, 33, :2] = torch.tensor([0.3, 0.4])
    landmarks[:, 263, :2] = torch.tensor([0.7, 0.4])
    stems = tuple(f"face_{i}" for i in range(faces))
    return FaceSet(name, f"digest of {name}", stems, tuple(images), landmarks)
