import random

import pytest

from service.client.errors import CallTimeoutError, ClientError, UnexpectedReplyError
from service.client.retrying import Attempts, RetryPolicy
from tests.fakes import ManualClock


class Refusal(ClientError):
    is_retryable = True

    def __init__(self, retry_after_seconds: float | None = None) -> None:
        super().__init__("come back later")
        self.retry_after_seconds = retry_after_seconds


def attempts(clock: ManualClock, *, timeout_seconds: float = 1000, **policy: float) -> Attempts:
    return Attempts(
        RetryPolicy(**{"max_attempts": 9, **policy}),  # type: ignore[arg-type]
        timeout_seconds=timeout_seconds,
        clock=clock,
        rng=random.Random(0),
    )


def test_pause_is_what_the_service_names_and_up_to_a_quarter_more() -> None:
    clock = ManualClock()
    pauses = [attempts(clock).pause_after(Refusal(8)) for _ in range(1)]
    several = Attempts(
        RetryPolicy(max_attempts=200), timeout_seconds=1000, clock=clock, rng=random.Random(1)
    )
    pauses += [several.pause_after(Refusal(8)) for _ in range(100)]
    assert min(pauses) >= 8
    assert max(pauses) <= 10
    assert len(set(pauses)) == 101


def test_pause_doubles_up_to_its_bound_where_none_is_named() -> None:
    waiting = attempts(ManualClock(), first_pause_seconds=1, max_pause_seconds=4)
    pauses = [waiting.pause_after(Refusal()) for _ in range(5)]
    for pause, longest in zip(pauses, [1, 2, 4, 4, 4], strict=True):
        assert longest / 2 <= pause <= longest


def test_last_attempt_is_the_policys() -> None:
    waiting = attempts(ManualClock(), max_attempts=2)
    waiting.pause_after(Refusal(1))
    with pytest.raises(Refusal):
        waiting.pause_after(Refusal(1))


def test_what_no_retry_can_help_is_not_retried() -> None:
    with pytest.raises(UnexpectedReplyError):
        attempts(ManualClock()).pause_after(UnexpectedReplyError("no AffectSR"))


def test_service_that_names_a_far_time_is_not_waited_for() -> None:
    with pytest.raises(Refusal):
        attempts(ManualClock(), max_retry_after_seconds=60).pause_after(Refusal(61))


def test_pause_that_outlasts_the_calls_time_is_not_begun() -> None:
    waiting = attempts(ManualClock(), timeout_seconds=5)
    refusal = Refusal(5)
    with pytest.raises(CallTimeoutError, match="within 5 s, after 1 failed attempts") as raised:
        waiting.pause_after(refusal)
    assert raised.value.__cause__ is refusal


def test_time_left_counts_from_the_call_on() -> None:
    clock = ManualClock()
    waiting = attempts(clock, timeout_seconds=5)
    clock.advance(3)
    assert waiting.seconds_left() == 2
    clock.advance(2)
    with pytest.raises(CallTimeoutError):
        waiting.seconds_left()


def test_policy_without_an_attempt_is_refused() -> None:
    with pytest.raises(ValueError, match="max_attempts is 0; it must be at least 1"):
        RetryPolicy(max_attempts=0)
