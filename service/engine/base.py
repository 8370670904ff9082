"""What the service asks of an engine, and the values that go in and come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt

from model_store.emotion.recoverability import AgreementCalibration
from model_store.faces.detector import FaceProposal, Judgement
from model_store.image_tensor import RgbImage
from service.errors import ServiceError

LandmarkSource = Literal["landmarker", "mediapipe", "fallback", "none"]
"""Who found the landmarks; `fallback`: the mean face stands in; `none`: the model takes none."""


@dataclass(frozen=True, kw_only=True)
class ServedVersion:
    """A published version that an engine holds in memory."""

    name: str
    version: str
    num_parameters: int
    weights_sha256: str
    licence: str
    metrics: Mapping[str, float]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, kw_only=True)
class ServedModel(ServedVersion):
    """A network that upscales.

    Attributes:
        scale: side of the output over side of the grid.
        lr_size_px: side of the network's square input grid.
    """

    scale: int
    lr_size_px: int

    @property
    def output_pixels(self) -> int:
        """Pixels that the network computes for one image, its padding included."""
        return (self.lr_size_px * self.scale) ** 2


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """An image was padded to a square and resampled to the network's grid: its size, the grid's."""

    from_width: int
    from_height: int
    to_width: int
    to_height: int


@dataclass(frozen=True, kw_only=True)
class UpscaledImage:
    """One image's result.

    Attributes:
        rgb: (H, W, 3) uint8; the padding is cropped off.
        resampling: None where the image's own pixels went into the network.
        landmark_confidence: in [0, 1]; None where the source gives none.
    """

    rgb: RgbImage
    resampling: Resampling | None
    landmark_source: LandmarkSource
    landmark_confidence: float | None


@dataclass(frozen=True, kw_only=True, eq=False)
class EmotionReading:
    """What the classifier reads in one image.

    Attributes:
        probabilities: (7,) float64 in the order of EMOTIONS; they sum to 1.
        landmarks: (478, 3) float32; x, y in [0, 1] of the image as padded to a square.
        landmark_confidence: in [0, 1].
        is_fallback: the confidence is too low; the image was aligned by the mean face.
    """

    probabilities: npt.NDArray[np.float64]
    landmarks: npt.NDArray[np.float32]
    landmark_confidence: float
    is_fallback: bool

    @property
    def top_class(self) -> int:
        """Index of the likeliest expression; of several that tie the first."""
        return int(self.probabilities.argmax())


EngineName = Literal["torch", "openvino", "cuda"]
"""Who computes: PyTorch call by call, OpenVINO on a CPU, or PyTorch's captured CUDA graphs."""


@dataclass(frozen=True, kw_only=True)
class EngineDescription:
    """What computes here, for the log, `/v1/models` and the metrics.

    Attributes:
        device: `cpu`, `cuda:0`.
        dtype: arithmetic of the upscaling networks; expressions are always read in float32.
        passed_over: engines that would have been faster, and why each could not be had.
    """

    name: EngineName
    device: str
    dtype: Literal["float32", "bfloat16"]
    passed_over: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class TileProposals:
    """What may be a face in a part of a photo, in px of it, the likeliest first."""

    proposals: tuple[FaceProposal, ...]


class Engine(Protocol):
    """Blocking; all of it is called from one thread, which owns the device."""

    @property
    def description(self) -> EngineDescription:
        """What computes."""
        ...

    @property
    def models(self) -> Sequence[ServedModel]:
        """The models in memory, at least one."""
        ...

    @property
    def classifier(self) -> ServedVersion | None:
        """The expression classifier in memory, if there is one."""
        ...

    @property
    def detector(self) -> ServedVersion | None:
        """The face detector in memory, if there is one."""
        ...

    @property
    def calibrations(self) -> Mapping[str, AgreementCalibration]:
        """By the reference of a model, what tells how likely its results' expressions are right."""
        ...

    def warm_up(self) -> None:
        """Run every batch size that is worth it once, so that no caller pays for the first."""
        ...

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        """Upscale (H, W, 3) uint8 images of any sizes with one model, in one forward pass.

        Returns:
            One result, or the error of that image alone, for each image in order.

        Raises:
            DeviceMemoryError: they do not fit the device's memory together.
            DeviceLostError: the device fails whatever it is given.
        """
        ...

    def read_emotions(self, images: Sequence[RgbImage]) -> Sequence[EmotionReading | ServiceError]:
        """Read the expression of (H, W, 3) uint8 images of any sizes, in one forward pass.

        Each image is aligned by landmarks of its own; only called where there is a classifier.

        Returns:
            One result, or the error of that image alone, for each image in order.
        """
        ...

    def propose_faces(self, tiles: Sequence[RgbImage]) -> Sequence[TileProposals | ServiceError]:
        """Say what may be a face in (H, W, 3) uint8 tiles of photos, both sides multiples of 32.

        Only called where there is a detector.

        Returns:
            One result, or the error of that tile alone, for each tile in order.
        """
        ...

    def judge_faces(self, crops: Sequence[RgbImage]) -> Sequence[Judgement | ServiceError]:
        """Judge equally large (h, h, 3) uint8 crops of what was proposed, in one forward pass.

        Only called where there is a detector.

        Returns:
            One result, or the error of that crop alone, for each crop in order.
        """
        ...

    def close(self) -> None:
        """Release what is not released by itself."""
        ...
