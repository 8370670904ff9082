"""Finding faces on the device: tiles of photos, equally large ones in one pass."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from model_store.faces.detector import FaceDetector, FaceProposal
from model_store.image_tensor import RgbImage, images_to_tensor
from service.engine.base import FacesInTile, ServedVersion


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

    def find(self, tiles: Sequence[RgbImage]) -> list[FacesInTile]:
        """See `Engine.find_faces`."""
        found: list[list[FaceProposal]] = [[] for _ in tiles]
        places: dict[tuple[int, ...], list[int]] = {}
        for index, tile in enumerate(tiles):
            places.setdefault(tile.shape, []).append(index)
        batches = [
            images_to_tensor([tiles[index] for index in indices]).to(self.device)
            for indices in places.values()
        ]
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.is_reduced):
            proposals = self.detector.detect_in_batches(batches)
        for indices, in_batch in zip(places.values(), proposals, strict=True):
            for index, proposed in zip(indices, in_batch, strict=True):
                found[index] = proposed
        return [FacesInTile(proposals=tuple(proposed)) for proposed in found]
