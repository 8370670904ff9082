"""What goes into the batcher and comes out of it, and what it asks of those around it."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar

from service.errors import ServiceError

ResultT = TypeVar("ResultT")
ItemT_co = TypeVar("ItemT_co", covariant=True)
ItemT_contra = TypeVar("ItemT_contra", contravariant=True)
ResultT_co = TypeVar("ResultT_co", covariant=True)


class Claim(Protocol[ItemT_co]):
    """Hands a batch's items to the runner, at the last moment and from whatever thread it is on."""

    def __call__(self) -> Sequence[ItemT_co]:
        """Return the items whose callers still wait; called once, just before the work starts."""
        ...


class BatchRunner(Protocol[ItemT_contra, ResultT_co]):
    """Runs one batch on the device; batches given while one runs wait their turn there."""

    def __call__(
        self, key: str, claim: Claim[ItemT_contra]
    ) -> Awaitable[Sequence[ResultT_co | ServiceError]]:
        """Begin at once, if it can; one result or error for each item of `claim()`, in its order.

        Raises (as it is awaited):
            DeviceMemoryError: the batch does not fit the device's memory; parts of it may.
            DeviceLostError: the device will not run anything any more.
            Exception: anything else is some item's fault; the batcher finds out which.
        """
        ...


class BatchObserver(Protocol):
    """Is told of the queue and the device; called on the event loop, must not raise."""

    def queue_changed(self, *, num_items: int, cost: int) -> None: ...

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None: ...

    def item_dropped(self, reason: Literal["cancelled", "expired"]) -> None: ...

    def item_failed(self) -> None: ...

    def batch_split(self) -> None:
        """A batch was too large for the device's memory and is run in parts."""
        ...

    def device_stalled(self, *, is_stalled: bool) -> None:
        """The device stopped answering, or answers again."""
        ...

    def device_lost(self, reason: str) -> None:
        """The device will not run anything any more; told once."""
        ...


@dataclass(frozen=True, kw_only=True)
class BatchLimits:
    """What a batch and the queue may hold, and how long the device may take.

    Attributes:
        max_batch_size: items in one batch.
        max_batch_cost: sum of the items' costs in one batch; a dearer item runs alone.
        queue_capacity: items that may wait.
        max_wait_seconds: how long an idle device waits for a fuller batch.
        stall_seconds: a batch that runs for less is never taken for hung.
    """

    max_batch_size: int
    max_batch_cost: int
    queue_capacity: int
    max_wait_seconds: float = 0.0
    stall_seconds: float = 10.0


@dataclass(frozen=True, kw_only=True)
class Batched(Generic[ResultT]):
    """One item's result, with the time that it waited and the time that its batch ran."""

    result: ResultT
    queue_seconds: float
    run_seconds: float
