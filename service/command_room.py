"""The engine room of a command that does its own work and then ends."""

from contextlib import AbstractAsyncContextManager

from service.engine.loading import load_engine, open_store
from service.engine_room import EngineRoom, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import Settings

# A server gives its callers to another replica where the device stalls. Here is none, and a person
# who may press Ctrl-C: on a machine that is busy elsewhere a batch may take its time.
_STALL_SECONDS = 3600.0


def open_command_room(settings: Settings) -> AbstractAsyncContextManager[EngineRoom]:
    """Load what the settings name, without warming it up; see `open_engine_room`.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    return open_engine_room(
        settings.model_copy(update={"device_stall_seconds": _STALL_SECONDS}),
        lambda: load_engine(open_store(settings), settings),
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
        warm_up=False,
    )
