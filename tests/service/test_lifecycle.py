from service.lifecycle import Lifecycle, State


def test_life_only_moves_forward() -> None:
    seen: list[bool] = []
    lifecycle = Lifecycle(on_readiness=seen.append)
    assert (lifecycle.is_ready, lifecycle.is_live) == (False, True)
    lifecycle.advance(State.READY)
    lifecycle.advance(State.WARM)
    assert lifecycle.is_ready
    lifecycle.advance(State.DRAINING)
    lifecycle.advance(State.DRAINING)
    lifecycle.advance(State.READY)
    assert (lifecycle.is_ready, lifecycle.is_live) == (False, True)
    lifecycle.advance(State.DEAD)
    assert not lifecycle.is_live
    assert seen == [True, False, False]


def test_readiness_falls_while_the_device_does_not_answer() -> None:
    seen: list[bool] = []
    lifecycle = Lifecycle(on_readiness=seen.append)
    lifecycle.advance(State.READY)
    lifecycle.device_stalled(is_stalled=True)
    assert (lifecycle.is_ready, lifecycle.is_live) == (False, True)
    lifecycle.device_stalled(is_stalled=False)
    assert lifecycle.is_ready
    assert seen == [True, False, True]


def test_failure_ends_readiness_and_life_and_the_first_reason_stays() -> None:
    lifecycle = Lifecycle()
    lifecycle.advance(State.READY)
    lifecycle.fail("an illegal access")
    lifecycle.fail("something later")
    assert (lifecycle.is_ready, lifecycle.is_live) == (False, False)
    assert lifecycle.failure == "an illegal access"
