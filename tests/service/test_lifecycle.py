import asyncio
import signal

import pytest
import uvicorn

from service.lifecycle import Lifecycle, SignalledServer, State


def test_life_only_moves_forward() -> None:
    seen: list[State] = []
    lifecycle = Lifecycle(on_change=seen.append)
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
    assert seen == [State.READY, State.DRAINING, State.DEAD]


@pytest.mark.anyio
async def test_first_signal_drains_and_the_second_does_not_wait() -> None:
    told: list[str] = []
    server = SignalledServer(uvicorn.Config(app="none:none"), on_signal=lambda: told.append("told"))
    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert (server.should_exit, server.force_exit) == (True, False)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.05)
        assert server.force_exit
    assert told == ["told", "told"]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
