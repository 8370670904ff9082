"""How far the face in a model's image is from the face in the original, by its landmarks."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage, images_to_tensor
from model_store.landmarks.distance import normalised_mean_error
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from model_store.landmarks.mediapipe_mesh import MediaPipeMesh
from model_store.landmarks.topology import LANDMARK_COUNT, LEFT_EYE, MOUTH, RIGHT_EYE
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column
from training.quality import Values

_REGIONS: Mapping[str, Sequence[int] | None] = {
    "whole": None,
    "mouth": MOUTH,
    "eyes": (*LEFT_EYE, *RIGHT_EYE),
}


class LandmarkFinder(Protocol):
    """Finds landmarks in images.

    Attributes:
        name: How columns name it.
        title: How readers know it.
    """

    name: str
    title: str

    def find(self, images: Sequence[RgbImage]) -> Tensor:
        """Return (N, 478, 3); NaN for an image without a face."""


class TeacherFinder:
    """MediaPipe, which also found the originals' landmarks: an original has an error of zero."""

    name = "mediapipe"
    title = "MediaPipe"

    def __init__(self, mesh: MediaPipeMesh) -> None:
        self._mesh = mesh

    def find(self, images: Sequence[RgbImage]) -> Tensor:
        found = np.full((len(images), LANDMARK_COUNT, 3), np.nan, dtype=np.float32)
        for row, image in enumerate(images):
            try:
                found[row] = self._mesh.detect(image)
            except FaceNotFoundError:
                continue
        return torch.from_numpy(found)


class LandmarkerFinder:
    """Our Landmarker, which reads an image at 32 px; below its least confidence no face is found.

    It never learnt the details that a 128 px image adds, so it says less than MediaPipe.
    """

    name = "landmarker"
    title = "our Landmarker"

    def __init__(self, landmarker: Landmarker) -> None:
        self._landmarker = landmarker

    def find(self, images: Sequence[RgbImage]) -> Tensor:
        with torch.inference_mode():
            chosen = choose_landmarks(self._landmarker, images_to_tensor(images))
        found = chosen.landmarks.clone()
        found[chosen.is_fallback] = torch.nan
        return found


class LandmarkDistance:
    """NME between landmarks found in the image and the teacher's of the original."""

    def __init__(self, finder: LandmarkFinder) -> None:
        self._finder = finder
        self.columns = tuple(
            Column(
                self._column_name(region),
                f"Landmark NME, {region}",
                f"found in the image by {finder.title}, against MediaPipe's of the original",
                higher_is_better=False,
                decimals=4,
            )
            for region in _REGIONS
        )

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        found = self._finder.find(images)
        return {
            self._column_name(region): normalised_mean_error(found, faces.landmarks, nodes=nodes)
            .double()
            .numpy()
            for region, nodes in _REGIONS.items()
        }

    def _column_name(self, region: str) -> str:
        suffix = "" if region == "whole" else f"_{region}"
        return f"nme_{self._finder.name}{suffix}"
