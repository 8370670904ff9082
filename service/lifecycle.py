"""The service's life: starting -> warm -> ready -> draining -> dead."""

import logging
from collections.abc import Callable
from enum import Enum

logger = logging.getLogger(__name__)


class State(Enum):
    """Where the service is in its life; the values are what the probes show."""

    STARTING = "starting"
    WARM = "warm"
    READY = "ready"
    DRAINING = "draining"
    DEAD = "dead"


_ORDER = list(State)


def _tell_nobody(is_ready: bool) -> None:
    """What a lifecycle does that nobody listens to."""


class Lifecycle:
    """The one place that knows the state, which only ever moves forward.

    Readiness may fall and rise again meanwhile: while the device does not answer.
    """

    def __init__(self, *, on_readiness: Callable[[bool], None] = _tell_nobody) -> None:
        self._state = State.STARTING
        self._is_stalled = False
        self._failure: str | None = None
        self._on_readiness = on_readiness

    @property
    def state(self) -> State:
        return self._state

    @property
    def is_ready(self) -> bool:
        """Whether new work should be sent here."""
        return self._state is State.READY and not self._is_stalled

    @property
    def has_started(self) -> bool:
        """Whether the models are loaded and warm, whatever came after."""
        return self._state is not State.STARTING

    @property
    def is_ending(self) -> bool:
        """Whether the process will be gone soon."""
        return self._state in (State.DRAINING, State.DEAD)

    @property
    def is_stalled(self) -> bool:
        """Whether the device does not answer for now."""
        return self._is_stalled

    @property
    def failure(self) -> str | None:
        """Why the process must end, if it must."""
        return self._failure

    @property
    def is_live(self) -> bool:
        """Whether the process is worth keeping: true while it drains."""
        return self._state is not State.DEAD

    def advance(self, state: State) -> None:
        """Move on to a later state; an earlier one is ignored, whoever comes late."""
        if _ORDER.index(state) <= _ORDER.index(self._state):
            return
        self._state = state
        self._on_readiness(self.is_ready)
        logger.info("the service is %s", state.value)

    def device_stalled(self, *, is_stalled: bool) -> None:
        """Take readiness away while the device does not answer."""
        self._is_stalled = is_stalled
        self._on_readiness(self.is_ready)
        logger.warning("the device %s", "does not answer" if is_stalled else "answers again")

    def fail(self, reason: str) -> None:
        """Neither ready nor live any more: the server ends the process; the first reason counts."""
        if self._failure is None:
            self._failure = reason
            logger.error("the device is lost: %s", reason)
        self.advance(State.DEAD)
