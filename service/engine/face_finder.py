"""Finding faces on the device: tiles of photos, equally large ones in one pass, and then crops."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from model_store.faces.detector import FaceDetector, FaceProposal, Judgement
from model_store.image_tensor import RgbImage, stack_levels
from service.engine.base import ServedVersion, TileProposals
from service.engine.grid import indices_by_shape


@dataclass(frozen=True, eq=False)
class FaceFinder:
    """A face detector on the device, and which version it is.

    Attributes:
        is_reduced: it computes in bfloat16; places of faces are float32 all the same.
    """

    served: ServedVersion
    detector: FaceDetector
    device: torch.device
    is_reduced: bool = False

    def propose(self, tiles: Sequence[RgbImage]) -> list[TileProposals]:
        """See `Engine.propose_faces`."""
        found: list[list[FaceProposal]] = [[] for _ in tiles]
        for indices in indices_by_shape(tile.shape for tile in tiles):
            batch = stack_levels([tiles[index] for index in indices]).to(self.device)
            with self._precision():
                proposals = self.detector.propose(batch)
            for index, proposed in zip(indices, proposals, strict=True):
                found[index] = proposed
        return [TileProposals(proposals=tuple(proposed)) for proposed in found]

    def judge(self, crops: Sequence[RgbImage]) -> list[Judgement]:
        """See `Engine.judge_faces`."""
        with self._precision():
            return self.detector.judge(stack_levels(crops).to(self.device))

    def _precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_reduced)
