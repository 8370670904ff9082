"""BlazeFace for full-range photographs: one network pass over a picture -> where faces may be.

The network is MediaPipe's ``face_detection_full_range`` (Bazarevsky et al., "BlazeFace",
arXiv:1907.05047, in its later form with a feature pyramid), whose weights were read from
MediaPipe's file by `tflite_weights`. It is fully convolutional: MediaPipe shows it a whole picture
at 192 x 192 px, here it runs over pictures of any size, in which it finds faces whose crop is
between about 20 and 100 px wide.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.image_tensor import levels_to_unit

STRIDE_PX = 32
"""Both sides of a picture must be multiples of this."""

NUM_KEYPOINTS = 6
"""Right eye, left eye, tip of the nose, middle of the mouth, right ear, left ear; the person's."""

_CELL_PX = 4
_VALUES = 4 + 2 * NUM_KEYPOINTS


@dataclass(frozen=True, kw_only=True)
class BlazeFaceConfig:
    """Sizes of the network.

    Attributes:
        stem: Channels at half the picture's size.
        narrow: Channels inside the blocks, from 1/2 to 1/32 of its size.
        wide: Channels between the blocks, from 1/4 to 1/32.
        blocks: Residual blocks, from 1/2 to 1/32.
        pyramid: Channels of the way back, from 1/16 to 1/4.
        pyramid_blocks: Residual blocks of the way back.
    """

    architecture: ClassVar[str] = "blazeface"

    stem: int = 32
    narrow: tuple[int, ...] = (8, 16, 32, 48, 96)
    wide: tuple[int, ...] = (64, 128, 192, 384)
    blocks: tuple[int, ...] = (2, 2, 2, 2, 3)
    pyramid: tuple[int, ...] = (96, 64, 48)
    pyramid_blocks: tuple[int, ...] = (2, 2, 1)


@dataclass(frozen=True)
class FaceMaps:
    """What the network says of N pictures of H x W px, at each of its cells of 4 x 4 px.

    Attributes:
        scores: (N, H / 4, W / 4) in [0, 1].
        places: (N, 16, H / 4, W / 4): centre x, centre y, width, height of the box, then x, y of
            each keypoint, in px; but for width and height relative to the cell's middle.
    """

    scores: Tensor
    places: Tensor

    def faces_at(self, index: int, cells: Tensor) -> tuple[Tensor, Tensor]:
        """What is said of one picture at K of its cells, which are counted row by row.

        Returns:
            (K, 4) boxes: centre x, centre y, width, height, and (K, 6, 2) keypoints x, y, ordered
            as `NUM_KEYPOINTS`; in px of the picture.
        """
        columns = self.scores.shape[-1]
        middles = (torch.stack([cells % columns, cells // columns], -1) + 0.5) * _CELL_PX  # (K, 2)
        values = self.places[index].flatten(1)[:, cells].T
        boxes = torch.cat([values[:, :2] + middles, values[:, 2:4]], -1)
        return boxes, values[:, 4:].unflatten(-1, (NUM_KEYPOINTS, 2)) + middles[:, None]


class BlazeFace(nn.Module):
    """Finds faces in a batch of pictures.

    The convolutions stand in the order of MediaPipe's graph, by which the weights are read.
    """

    def __init__(self, config: BlazeFaceConfig) -> None:
        super().__init__()
        self.config = config
        self.stem = nn.Conv2d(3, config.stem, 3, stride=2, padding=1)
        self.first = _blocks(config.stem, config.narrow[0], count=config.blocks[0])
        self.stages = nn.ModuleList()
        channels = config.stem
        # From the finest stage to the coarsest; each but the last hands a map to the way back.
        handed = (*reversed(config.pyramid), config.pyramid[0])
        for narrow, wide, count, lateral in zip(
            config.narrow[1:], config.wide, config.blocks[1:], handed, strict=True
        ):
            self.stages.append(_Stage(channels, narrow, wide, count=count, lateral=lateral))
            channels = wide
        self.back = nn.ModuleList()
        for index, (width, count) in enumerate(
            zip(config.pyramid, config.pyramid_blocks, strict=True)
        ):
            finer = config.pyramid[index + 1] if index + 1 < len(config.pyramid) else None
            self.back.append(_WayBack(width, count=count, finer=finer))
        self.score = _Head(config.pyramid[-1], 1)
        self.place = _Head(config.pyramid[-1], _VALUES)

    def look_at(self, levels: Tensor) -> FaceMaps:
        """Look at (N, H, W, 3) uint8 RGB pictures; H and W multiples of 32.

        Raises:
            ValueError: a side is no multiple of 32.
        """
        maps: FaceMaps = self(levels_to_unit(levels))
        return maps

    def forward(self, pictures: Tensor) -> FaceMaps:
        """Look at (N, 3, H, W) float RGB pictures in [0, 1]; H and W multiples of 32.

        Raises:
            ValueError: a side is no multiple of 32.
        """
        height, width = pictures.shape[-2:]
        if height % STRIDE_PX or width % STRIDE_PX:
            raise ValueError(f"pictures are {width} x {height} px; sides must be multiples of 32")
        features = self.first(F.relu(self.stem(2 * pictures - 1)))
        handed = []
        for stage in self.stages:
            features, lateral = stage(features)
            handed.append(lateral)
        coarse = handed.pop()
        for step in self.back:
            coarse = F.interpolate(coarse, scale_factor=2, mode="bilinear", align_corners=False)
            coarse = step(handed.pop() + coarse)
        # bfloat16 has 8 bits: a face would be off by half a pixel.
        with torch.autocast(pictures.device.type, enabled=False):
            coarse = coarse.float()
            return FaceMaps(torch.sigmoid(self.score(coarse)[:, 0]), self.place(coarse))


class _Residual(nn.Module):
    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.squeeze = _separable(wide, narrow)
        self.expand = _separable(narrow, wide)

    def forward(self, features: Tensor) -> Tensor:
        return F.relu(features + self.expand(F.relu(self.squeeze(features))))


class _Stage(nn.Module):
    """Halves the size; gives its features, and what it hands to the way back."""

    def __init__(self, inputs: int, narrow: int, wide: int, *, count: int, lateral: int) -> None:
        super().__init__()
        self.squeeze = _separable(inputs, narrow, stride=2)
        self.expand = _separable(narrow, wide)
        self.blocks = _blocks(wide, narrow, count=count)
        self.lateral = nn.Conv2d(wide, lateral, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        features = F.relu(self.expand(F.relu(self.squeeze(features))))
        features = self.blocks(features)
        return features, F.relu(self.lateral(features))


class _WayBack(nn.Module):
    def __init__(self, width: int, *, count: int, finer: int | None) -> None:
        super().__init__()
        self.blocks = _blocks(width, width // 2, count=count)
        self.finer = None if finer is None else nn.Conv2d(width, finer, 1)

    def forward(self, features: Tensor) -> Tensor:
        features = self.blocks(features)
        return features if self.finer is None else F.relu(self.finer(features))


class _Head(nn.Module):
    """Values of the four cells of each 8 x 8 px, then one cell each."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, 4 * values, 1)
        self.gather = _depthwise(4 * values, stride=2)

    def forward(self, features: Tensor) -> Tensor:
        cells = self.gather(self.mix(features))
        # TensorFlow's order has the place within the four outside of the values, torch's inside.
        return F.pixel_shuffle(cells.unflatten(1, (4, -1)).transpose(1, 2).flatten(1, 2), 2)


def _blocks(wide: int, narrow: int, *, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(wide, narrow) for _ in range(count)))


def _separable(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(_depthwise(inputs, stride=stride), nn.Conv2d(inputs, outputs, 1))


def _depthwise(channels: int, *, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride=stride, padding=1, groups=channels)
