"""What the service asks of an engine, and the values that go in and come out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from model_store.image_tensor import RgbImage
from service.errors import ServiceError

LandmarkSource = Literal["landmarker", "mediapipe", "fallback", "none"]
"""Who found the landmarks; `fallback`: the mean face stands in; `none`: the model takes none."""


@dataclass(frozen=True, kw_only=True)
class ServedModel:
    """A model version that an engine holds in memory.

    Attributes:
        scale: side of the output over side of the grid.
        lr_size_px: side of the network's square input grid.
    """

    name: str
    version: str
    scale: int
    lr_size_px: int
    num_parameters: int
    weights_sha256: str
    licence: str
    metrics: Mapping[str, float]

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.version}"

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


class Engine(Protocol):
    """Blocking; all of it is called from one thread, which owns the device."""

    @property
    def models(self) -> Sequence[ServedModel]:
        """The models in memory, at least one."""
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

    def close(self) -> None:
        """Release what is not released by itself."""
        ...
