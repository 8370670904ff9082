import asyncio
import signal

import pytest
import uvicorn

from service.lifecycle import Lifecycle, State
from service.server import SignalledServer


@pytest.mark.anyio
async def test_first_signal_drains_and_the_second_does_not_wait() -> None:
    lifecycle = Lifecycle()
    server = SignalledServer(uvicorn.Config(app="none:none"), lifecycle)
    with server.capture_signals():
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        assert (server.should_exit, server.force_exit) == (True, False)
        signal.raise_signal(signal.SIGINT)
        await asyncio.sleep(0.05)
        assert server.force_exit
    assert lifecycle.state is State.DRAINING
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
