"""Face detectors that are tiny and untrained."""

import torch

from model_store.faces.blazeface import BlazeFace, BlazeFaceConfig


def blind_detector() -> BlazeFace:
    """A detector that finds no face in anything."""
    detector = tiny_detector()
    bias = detector.score.gather.bias
    assert bias is not None
    torch.nn.init.constant_(bias, -20.0)
    return detector


def tiny_detector(*, seed: int = 0) -> BlazeFace:
    torch.manual_seed(seed)
    return BlazeFace(
        BlazeFaceConfig(
            stem=4,
            narrow=(2, 2, 2, 2, 2),
            wide=(4, 4, 4, 4),
            blocks=(1, 1, 1, 1, 1),
            pyramid=(4, 4, 4),
            pyramid_blocks=(1, 1, 1),
        )
    ).eval()
