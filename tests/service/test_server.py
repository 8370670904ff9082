import asyncio
import gc
import signal
from collections.abc import Iterator

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from service.lifecycle import Lifecycle, State
from service.server import SignalledServer

pytestmark = pytest.mark.anyio


@pytest.fixture
def lifecycle() -> Lifecycle:
    return Lifecycle()


@pytest.fixture(autouse=True)
def _usual_signal_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def started_server(lifecycle: Lifecycle, *, drain_delay_seconds: float) -> SignalledServer:
    server = SignalledServer(
        uvicorn.Config(app="none:none"), lifecycle, drain_delay_seconds=drain_delay_seconds
    )
    server.started = True
    lifecycle.advance(State.READY)
    return server


async def receive(number: signal.Signals) -> None:
    signal.raise_signal(number)
    await asyncio.sleep(0.05)


async def test_first_signal_takes_readiness_at_once_and_the_port_later(
    lifecycle: Lifecycle,
) -> None:
    server = started_server(lifecycle, drain_delay_seconds=60)
    with server.capture_signals():
        assert not await server.on_tick(1)
        await receive(signal.SIGTERM)
        assert lifecycle.state is State.DRAINING
        assert not await server.on_tick(2)
        assert not server.force_exit


async def test_delay_over_the_port_is_closed(lifecycle: Lifecycle) -> None:
    server = started_server(lifecycle, drain_delay_seconds=0)
    with server.capture_signals():
        await receive(signal.SIGTERM)
        assert await server.on_tick(1)


async def test_signal_of_a_terminal_drains_without_delay(lifecycle: Lifecycle) -> None:
    server = started_server(lifecycle, drain_delay_seconds=60)
    with server.capture_signals():
        await receive(signal.SIGINT)
        assert lifecycle.state is State.DRAINING
        assert await server.on_tick(1)


async def test_second_signal_does_not_wait(lifecycle: Lifecycle) -> None:
    server = started_server(lifecycle, drain_delay_seconds=60)
    with server.capture_signals():
        await receive(signal.SIGTERM)
        await receive(signal.SIGTERM)
        assert server.force_exit
        assert await server.on_tick(1)


async def test_signals_behind_the_end_change_nothing(lifecycle: Lifecycle) -> None:
    with started_server(lifecycle, drain_delay_seconds=0).capture_signals():
        pass
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


async def test_lost_device_ends_the_server(lifecycle: Lifecycle) -> None:
    server = started_server(lifecycle, drain_delay_seconds=60)
    lifecycle.fail("an illegal access")
    assert await server.on_tick(1)


async def test_collector_does_not_walk_over_what_was_loaded(lifecycle: Lifecycle) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        """Nobody asks."""

    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    config.load()
    server = SignalledServer(config, lifecycle)
    server.lifespan = config.lifespan_class(config)
    assert gc.get_freeze_count() == 0
    await server.startup()
    try:
        assert gc.get_freeze_count() > 10_000
    finally:
        gc.unfreeze()
        await server.shutdown()
