"""Upscaling a batch that lies on a network's grid: landmarks, network, rounding to 8 bits."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from model_store.architectures import Upscaler
from service.engine.base import LandmarkSource
from service.engine.landmark_finders import LandmarkFinder


@dataclass(frozen=True, eq=False)
class UpscaledBatch:
    """What became of N faces.

    Attributes:
        rgb: (N, S, S, 3) uint8.
        is_finite: N flags; without it a face's pixels mean nothing.
        sources: who found the landmarks, N names.
        confidences: N values in [0, 1], None where the source gives none.
    """

    rgb: npt.NDArray[np.uint8]
    is_finite: list[bool]
    sources: list[LandmarkSource]
    confidences: list[float | None]


class BatchUpscaler(Protocol):
    """One model on the device."""

    def upscale(self, faces: Tensor) -> UpscaledBatch:
        """Upscale (N, grid, grid, 3) uint8 RGB faces, which lie on the CPU."""
        ...

    def bare_run(self, faces: Tensor) -> Callable[[], object]:
        """The network alone on such faces, their landmarks being found: for a bench to time."""
        ...


NetworkRun = Callable[[Tensor, Tensor | None], tuple[npt.NDArray[np.uint8], list[bool]]]
"""From faces and their landmarks to `UpscaledBatch.rgb` and `.is_finite`, on whatever computes."""


class LandmarkedUpscaler:
    """A network behind the finder that tells it the landmarks; None for one that takes none."""

    def __init__(
        self, run: NetworkRun, finder: LandmarkFinder | None, *, device: torch.device
    ) -> None:
        self._run = run
        self._finder = finder
        self._device = device

    def upscale(self, faces: Tensor) -> UpscaledBatch:
        lr = self._to_lr(faces)
        if self._finder is None:
            rgb, is_finite = self._run(lr, None)
            return UpscaledBatch(rgb, is_finite, ["none"] * len(lr), [None] * len(lr))
        found = self._finder.find(lr)
        rgb, is_finite = self._run(lr, found.landmarks)
        return UpscaledBatch(rgb, is_finite, found.sources, found.confidences)

    def bare_run(self, faces: Tensor) -> Callable[[], object]:
        lr = self._to_lr(faces)
        landmarks = None if self._finder is None else self._finder.find(lr).landmarks
        return partial(self._run, lr, landmarks)

    def _to_lr(self, faces: Tensor) -> Tensor:
        return faces.to(self._device).permute(0, 3, 1, 2).contiguous().float() / 255


class EightBitNetwork(nn.Module):
    """An upscaler whose outputs are those of an image file; what is traced, captured, exported."""

    def __init__(self, network: Upscaler) -> None:
        super().__init__()
        self.network = network

    def forward(self, lr: Tensor, landmarks: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Upscale (N, 3, h, w) float RGB in [0, 1], with (N, 478, 3) landmarks if it takes them.

        Returns:
            (N, scale h, scale w, 3) uint8, and (N,) bool: whether the network gave numbers.
        """
        sr = (self.network(lr) if landmarks is None else self.network(lr, landmarks)).float()
        is_finite = torch.isfinite(sr).flatten(1).all(1)
        levels = sr.clamp(0, 1).mul(255).round().to(torch.uint8)
        return levels.permute(0, 2, 3, 1), is_finite


class TorchRun:
    """A network by PyTorch, call by call."""

    def __init__(
        self, network: Upscaler, *, precision: Callable[[], AbstractContextManager[object]]
    ) -> None:
        self._network = EightBitNetwork(network)
        self._precision = precision

    @torch.inference_mode()
    def __call__(
        self, lr: Tensor, landmarks: Tensor | None
    ) -> tuple[npt.NDArray[np.uint8], list[bool]]:
        with self._precision():
            levels, is_finite = self._network(lr, landmarks)
        return levels.cpu().numpy(), is_finite.tolist()
