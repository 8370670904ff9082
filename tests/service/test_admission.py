import random

import pytest

from service.admission import Admission
from service.errors import OverloadedError


class HalfRandom(random.Random):
    """Draws 0.5 always."""

    def random(self) -> float:
        return 0.5


def admission(capacity: int = 10) -> tuple[Admission, list[int]]:
    seen: list[int] = []
    return Admission(capacity, rng=HalfRandom(), on_change=seen.append), seen


def test_work_within_the_capacity_is_let_in_and_counted() -> None:
    gate, seen = admission()
    with gate.admit(4), gate.admit(6):
        assert seen == [4, 10]
    assert seen == [4, 10, 4, 0]


def test_work_over_the_capacity_is_refused_with_numbers_and_a_time() -> None:
    gate, _ = admission()
    with (
        gate.admit(8),
        pytest.raises(OverloadedError, match=r"8 images .* 3 more would exceed the 10") as info,
        gate.admit(3),
    ):
        pass
    assert info.value.retry_after_seconds == 1


def test_place_is_free_again_after_a_failure() -> None:
    gate, seen = admission()
    with pytest.raises(RuntimeError), gate.admit(10):
        raise RuntimeError
    assert seen[-1] == 0


def test_retry_after_is_the_backlog_at_the_measured_rate_and_a_random_share_more() -> None:
    gate, _ = admission(100)
    gate.batch_finished(num_items=4, run_seconds=2.0)
    with gate.admit(20):
        assert gate.retry_after_seconds() == 15  # 20 images, 0.5 s each, half as much again


def test_rate_follows_the_newest_batches() -> None:
    gate, _ = admission(100)
    gate.batch_finished(num_items=1, run_seconds=10.0)
    for _ in range(60):
        gate.batch_finished(num_items=1, run_seconds=1.0)
    with gate.admit(10):
        assert gate.retry_after_seconds() == 16
