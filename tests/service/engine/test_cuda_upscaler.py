"""The GPU's engine on a CPU: the same code, without capture and without pinned memory."""

import numpy as np
import pytest
import torch

from model_store.image_tensor import RgbImage
from service.engine.accuracy import measure_accuracy, sample_faces
from service.engine.cuda_engine import cuda_engine
from service.engine.cuda_upscaler import CudaUpscaler, to_bfloat16
from service.engine.face_graph import FaceGraph
from service.engine.landmark_finders import LandmarkerFinder
from service.engine.loaded_models import LoadedModels
from service.engine.torch_engine import torch_engine
from service.errors import EngineUnavailableError
from tests.fakes import served_model
from tests.service.support import noise
from tests.service.tiny_models import tiny_landmarker, tiny_network
from tests.tiny_baselines import tiny_baseline

CPU = torch.device("cpu")
X8 = served_model(scale=8, lr_size_px=16)


def faces(count: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([noise(16, 16, seed=seed) for seed in range(count)]))


def upscaler(*, confidence_logit: float = 3.0, landmark_fusion: bool = True) -> CudaUpscaler:
    network = to_bfloat16(tiny_network(8, landmark_fusion=landmark_fusion))
    landmarker = tiny_landmarker(confidence_logit=confidence_logit)
    return CudaUpscaler(
        FaceGraph(network, landmarker, min_confidence=0.5).eval(),
        size_px=16,
        batch_sizes=(1, 2, 4),
        device=CPU,
        captures=False,
    )


def models(network: object) -> LoadedModels:
    return LoadedModels(
        upscalers=[(X8, network)],  # type: ignore[list-item]
        landmarker=tiny_landmarker(),
        landmarker_sha256="0" * 64,
        classifier=None,
        calibrations={},
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 11])
def test_batch_of_any_size_equals_its_singles_within_a_level(count: int) -> None:
    engine, batch = upscaler(), faces(count)
    together = engine.upscale(batch)
    assert together.rgb.shape == (count, 128, 128, 3)
    assert together.is_finite == [True] * count
    for index in range(count):
        alone = engine.upscale(batch[index : index + 1])
        assert np.abs(alone.rgb[0].astype(int) - together.rgb[index]).max() <= 1


def test_results_stay_when_the_next_batch_runs() -> None:
    engine = upscaler()
    first = engine.upscale(faces(2)).rgb
    kept: RgbImage = first.copy()
    engine.upscale(faces(4)[2:])
    assert np.array_equal(first, kept)


def test_bare_run_computes_the_same_buffers() -> None:
    engine, batch = upscaler(), faces(3)
    engine.bare_run(batch)()
    assert engine.upscale(batch).is_finite == [True] * 3


def test_engine_is_close_to_the_reference() -> None:
    network = tiny_network(8)
    ours = cuda_engine(
        models(network),
        None,
        device=CPU,
        min_confidence=0.5,
        passed_over={},
        max_batch_size=4,
        memory_limit_bytes=None,
        captures=False,
    )
    theirs = torch_engine(
        [(X8, network)], LandmarkerFinder(tiny_landmarker(), min_confidence=0.5), device=CPU
    )
    ours.warm_up()
    measured = measure_accuracy(ours, theirs, X8.reference, [*sample_faces(), noise(40, 24)])
    assert measured.psnr_db > 45  # what untrained weights allow; see test_torch_engine
    assert measured.batch_levels <= 1
    assert (ours.description.name, ours.description.dtype) == ("cuda", "bfloat16")


def test_copy_in_bfloat16_leaves_the_network_and_what_costs_nothing_alone() -> None:
    network = tiny_network(8)
    reduced = to_bfloat16(network)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert reduced.conv_first.weight.dtype == torch.bfloat16
    assert reduced.gcn is not None
    assert {parameter.dtype for parameter in reduced.gcn.parameters()} == {torch.float32}


def test_unsure_landmarks_and_none_at_all_are_told() -> None:
    unsure = upscaler(confidence_logit=-3.0).upscale(faces(2))
    assert unsure.sources == ["fallback", "fallback"]
    assert unsure.confidences == pytest.approx([torch.tensor(-3.0).sigmoid().item()] * 2)
    without = upscaler(landmark_fusion=False).upscale(faces(2))
    assert (without.sources, without.confidences) == (["none", "none"], [None, None])


def test_other_architectures_are_left_to_torch() -> None:
    with pytest.raises(EngineUnavailableError, match="is no AffectSRNet"):
        cuda_engine(
            models(tiny_baseline("srcnn", scale=8)),
            None,
            device=CPU,
            min_confidence=0.5,
            passed_over={},
            max_batch_size=1,
            memory_limit_bytes=None,
            captures=False,
        )
