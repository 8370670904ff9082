"""Where an image of any size lies on a network's square grid, and where its result lies."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from model_store.image_tensor import (
    RgbImage,
    image_to_tensor,
    resize_bicubic,
    tensor_to_image,
)
from service.engine.base import Resampling, ServedModel


@dataclass(frozen=True, kw_only=True)
class GridPlacement:
    """An image in the middle of a square, and that square on the grid.

    Attributes:
        width: the image's, in px.
        height: the image's, in px.
        grid_px: side of the network's input.
        scale: side of the output over side of the input.
    """

    width: int
    height: int
    grid_px: int
    scale: int

    @staticmethod
    def of(image: RgbImage, model: ServedModel) -> "GridPlacement":
        """Where an (H, W, 3) image lies on a model's grid."""
        height, width = image.shape[:2]
        return GridPlacement(
            width=width, height=height, grid_px=model.lr_size_px, scale=model.scale
        )

    @property
    def square_px(self) -> int:
        """Side of the square that the image is padded to, which keeps its aspect."""
        return max(self.width, self.height)

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """Edge pixels to add: left, right, top, bottom."""
        return _square_padding(width=self.width, height=self.height)

    @property
    def resampling(self) -> Resampling | None:
        """From the image's size to the grid (padding included); None if its pixels are kept."""
        if self.square_px == self.grid_px:
            return None
        return Resampling(
            from_width=self.width,
            from_height=self.height,
            to_width=self.grid_px,
            to_height=self.grid_px,
        )

    @property
    def output_box(self) -> tuple[int, int, int, int]:
        """The image's part of the square output: left, top, right, bottom in px.

        In whole pixels, so the result may lie up to half an output pixel off.
        """
        output_px = self.grid_px * self.scale
        factor = output_px / self.square_px
        width = max(1, round(self.width * factor))
        height = max(1, round(self.height * factor))
        left = min(round(self.padding[0] * factor), output_px - width)
        top = min(round(self.padding[2] * factor), output_px - height)
        return left, top, left + width, top + height


def indices_by_shape(shapes: Iterable[tuple[int, ...]]) -> list[list[int]]:
    """Where each shape stands, by first appearance: one shape goes through in one pass."""
    indices: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        indices.setdefault(shape, []).append(index)
    return list(indices.values())


def to_square(image: RgbImage, *, device: torch.device) -> Tensor:
    """(H, W, 3) uint8 -> (1, 3, S, S) float in [0, 1], padded to a square by its edge pixels."""
    square = image_to_tensor(image).to(device)[None]
    padding = _square_padding(width=image.shape[1], height=image.shape[0])
    return F.pad(square, padding, mode="replicate") if any(padding) else square


def faces_on_grid(images: Sequence[RgbImage], *, grid_px: int) -> Tensor:
    """(H, W, 3) uint8 each -> (N, grid, grid, 3) uint8 on the CPU.

    As 8-bit files of that size would hold them, as in training; what is of that size is kept.
    """
    return torch.stack([_on_grid(image, grid_px) for image in images])


def _on_grid(image: RgbImage, grid_px: int) -> Tensor:
    if image.shape == (grid_px, grid_px, 3):
        return torch.from_numpy(image.copy())
    square = to_square(image, device=torch.device("cpu"))
    on_grid = resize_bicubic(square, height=grid_px, width=grid_px)
    return torch.from_numpy(tensor_to_image(on_grid[0]))


def _square_padding(*, width: int, height: int) -> tuple[int, int, int, int]:
    """Pixels that make an image a square with itself in the middle: left, right, top, bottom."""
    side = max(width, height)
    left, top = (side - width) // 2, (side - height) // 2
    return left, side - width - left, top, side - height - top
