import pytest

from service.redis_link import BreakerState, CircuitBreaker, RedisAwayError

CLOSED, HALF_OPEN, OPEN = BreakerState.CLOSED, BreakerState.HALF_OPEN, BreakerState.OPEN


class Watched(CircuitBreaker):
    """A breaker and the states that it went through."""

    def __init__(self) -> None:
        self.states: list[BreakerState] = []
        super().__init__(on_change=self.states.append)

    def fail(self, times: int = 1) -> None:
        for _ in range(times):
            self.failed(self.enter())

    def break_and_probe(self) -> None:
        self.fail(3)
        self.probe_answered()


@pytest.fixture
def breaker() -> Watched:
    return Watched()


def test_third_failure_in_a_row_opens(breaker: Watched) -> None:
    breaker.fail(2)
    assert breaker.state is CLOSED
    breaker.fail()
    assert breaker.states == [OPEN]
    with pytest.raises(RedisAwayError, match="is not asked, as it did not answer before"):
        breaker.enter()


def test_answer_in_between_begins_the_count_anew(breaker: Watched) -> None:
    for _ in range(5):
        breaker.fail(2)
        breaker.succeeded(breaker.enter())
    assert breaker.states == []


def test_slow_answers_open_later_than_failures(breaker: Watched) -> None:
    for _ in range(14):
        breaker.was_slow(breaker.enter())
    assert breaker.state is CLOSED
    breaker.was_slow(breaker.enter())
    assert breaker.state is OPEN


def test_probe_lets_one_in_whose_success_lets_all_in(breaker: Watched) -> None:
    breaker.break_and_probe()
    trial = breaker.enter()
    with pytest.raises(RedisAwayError):
        breaker.enter()
    breaker.succeeded(trial)
    assert breaker.states == [OPEN, HALF_OPEN, CLOSED]
    assert breaker.enter() == breaker.enter()


@pytest.mark.parametrize("outcome", ["failed", "was_slow"])
def test_trial_that_goes_badly_opens_at_once(breaker: Watched, outcome: str) -> None:
    breaker.break_and_probe()
    getattr(breaker, outcome)(breaker.enter())
    assert breaker.states == [OPEN, HALF_OPEN, OPEN]


def test_trial_of_somebody_who_leaves_is_the_next_ones(breaker: Watched) -> None:
    breaker.break_and_probe()
    breaker.withdrew(breaker.enter())
    breaker.succeeded(breaker.enter())
    assert breaker.state is CLOSED


def test_what_began_before_a_change_does_not_count_after_it(breaker: Watched) -> None:
    early = [breaker.enter() for _ in range(6)]
    breaker.failed(early[0])
    breaker.fail(2)
    breaker.succeeded(early[1])
    assert breaker.state is OPEN
    breaker.probe_answered()
    trial = breaker.enter()
    breaker.failed(early[2])
    breaker.withdrew(early[3])
    with pytest.raises(RedisAwayError):
        breaker.enter()
    breaker.succeeded(trial)
    breaker.failed(early[4])
    breaker.was_slow(early[5])
    assert breaker.state is CLOSED


def test_probe_waits_longer_after_each_trial_that_failed_though_it_was_answered(
    breaker: Watched,
) -> None:
    waits = []
    breaker.fail(3)
    for _ in range(8):
        waits.append(breaker.seconds_until_probe)
        breaker.probe_answered()
        breaker.fail()
    assert waits == [1, 2, 4, 8, 16, 32, 32, 32]
    breaker.probe_answered()
    breaker.succeeded(breaker.enter())
    breaker.fail(3)
    assert breaker.seconds_until_probe == 1


def test_late_probe_changes_nothing(breaker: Watched) -> None:
    breaker.probe_answered()
    assert breaker.states == []
