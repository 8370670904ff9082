import pytest
import torch

from training.config import LandmarkCurriculumConfig
from training.data.draws import BatchDraws
from training.tasks.landmark_curriculum import mix_landmarks

CONFIG = LandmarkCurriculumConfig(teacher_steps=100, noise=0.0)


def draws_at(step: int, *, batch_size: int = 400, rows: range | None = None) -> BatchDraws:
    return BatchDraws.of_step(seed=3, step=step, batch_size=batch_size, rows=rows)


def share_of_truth(step: int) -> float:
    found, truth = torch.zeros(400, 478, 3), torch.ones(400, 478, 3)
    mixed = mix_landmarks(found, truth, config=CONFIG, draws=draws_at(step))
    assert bool(((mixed == 0).all((1, 2)) | (mixed == 1).all((1, 2))).all())  # never half a face
    return float(mixed[:, 0, 0].mean())


def test_every_face_has_the_teachers_landmarks_at_first() -> None:
    assert share_of_truth(0) == 1.0


def test_share_of_the_teacher_falls_linearly_to_none() -> None:
    assert share_of_truth(50) == pytest.approx(0.5, abs=0.08)  # three deviations of 400 draws
    assert share_of_truth(90) == pytest.approx(0.1, abs=0.05)
    assert share_of_truth(100) == 0.0


def test_teachers_landmarks_are_moved_by_noise_of_the_given_deviation() -> None:
    found, truth = torch.zeros(20, 478, 3), torch.full((20, 478, 3), 0.5)
    config = LandmarkCurriculumConfig(teacher_steps=100, noise=0.01)
    moved = mix_landmarks(found, truth, config=config, draws=draws_at(0, batch_size=20)) - truth
    assert float(moved.std()) == pytest.approx(0.01, rel=0.05)
    assert float(moved.mean()) == pytest.approx(0.0, abs=0.001)


def test_without_a_curriculum_nothing_is_drawn() -> None:
    draws = draws_at(0)
    state = draws.generator.get_state()
    found = torch.rand(400, 478, 3)
    mixed = mix_landmarks(
        found, torch.zeros_like(found), config=LandmarkCurriculumConfig(), draws=draws
    )
    assert mixed is found
    assert torch.equal(draws.generator.get_state(), state)


def test_part_of_a_batch_is_mixed_as_in_the_whole() -> None:
    config = LandmarkCurriculumConfig(teacher_steps=100, noise=0.01)
    found, truth = torch.rand(8, 478, 3), torch.rand(8, 478, 3)
    whole = mix_landmarks(found, truth, config=config, draws=draws_at(40, batch_size=8))
    part = mix_landmarks(
        found[3:6], truth[3:6], config=config, draws=draws_at(40, batch_size=8, rows=range(3, 6))
    )
    assert torch.equal(part, whole[3:6])


@pytest.mark.parametrize("name", ["teacher_steps", "noise"])
def test_negative_value_is_an_error_that_names_it(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1; it must be at least 0"):
        LandmarkCurriculumConfig(**{name: -1})
