"""MediaPipe's 478-point face mesh: the Landmarker's teacher and the service's reference setting.

The only file that imports mediapipe, and only when a mesh is opened (the extra ``mediapipe``).
"""

from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage

# MediaPipe's detector was made for phone cameras; measured on 128 px crops, faces are found
# reliably once the image is brought to 256 px.
_DETECTION_SIDE_PX = 256
# Aligned crops cut the forehead or the chin off; a margin lets the detector see a whole head.
_RETRY_MARGIN = 0.25


class MediaPipeMesh:
    """Finds the mesh of one face an image at a time; not thread-safe.

    Create one per process: each create and close leaks about 1.5 MB inside MediaPipe 0.10.21.

    Raises:
        ImportError: the extra ``mediapipe`` is not installed.
    """

    def __init__(self, *, min_detection_confidence: float = 0.5) -> None:
        from mediapipe.python.solutions.face_mesh import FaceMesh

        self._mesh = FaceMesh(
            static_image_mode=True,
            max_num_faces=1,
            refine_landmarks=True,
            min_detection_confidence=min_detection_confidence,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release MediaPipe's graph; the mesh must not be used afterwards."""
        self._mesh.close()

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        """Return the (478, 3) landmarks of the one face in an (H, W, 3) uint8 RGB crop.

        x and y are in [0, 1] of the crop (points of a cut-off chin may lie outside), z is on
        x's scale and negative towards the camera.

        Raises:
            FaceNotFoundError: no face, neither in the crop nor with a margin around it.
        """
        plain = self._find(image, margin=0.0)
        found = plain if plain is not None else self._find(image, margin=_RETRY_MARGIN)
        if found is None:
            height, width = image.shape[:2]
            raise FaceNotFoundError(f"MediaPipe finds no face in the {width} x {height} px image")
        return found

    def _find(self, image: RgbImage, *, margin: float) -> npt.NDArray[np.float32] | None:
        height, width = image.shape[:2]
        pad_x, pad_y = round(margin * width), round(margin * height)
        padded = np.pad(image, ((pad_y, pad_y), (pad_x, pad_x), (0, 0)), mode="edge")
        scale = max(1.0, _DETECTION_SIDE_PX / max(height, width))
        size = (round(padded.shape[1] * scale), round(padded.shape[0] * scale))
        enlarged = np.asarray(Image.fromarray(padded).resize(size, Image.Resampling.BICUBIC))
        faces = self._mesh.process(enlarged).multi_face_landmarks
        if not faces:
            return None
        points = np.array([(p.x, p.y, p.z) for p in faces[0].landmark], dtype=np.float32)
        points[:, 0] = (points[:, 0] * padded.shape[1] - pad_x) / width
        points[:, 1] = (points[:, 1] * padded.shape[0] - pad_y) / height
        points[:, 2] *= padded.shape[1] / width
        return points
