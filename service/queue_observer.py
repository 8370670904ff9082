"""Who is told what happens in the batcher's queue: metrics, admission and the device's state."""

from typing import Literal

from service.admission import Admission
from service.lifecycle import Lifecycle
from service.metrics import Metrics


class QueueObserver:
    """Passes on what the batcher tells: its counts, the rate to admission, the device's state."""

    def __init__(self, metrics: Metrics, admission: Admission, lifecycle: Lifecycle) -> None:
        self._metrics = metrics
        self._admission = admission
        self._lifecycle = lifecycle

    def queue_changed(self, *, num_items: int, cost: int) -> None:
        self._metrics.queue_changed(num_items=num_items, cost=cost)

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        self._metrics.batch_finished(num_items=num_items)
        self._admission.batch_finished(num_items=num_items, run_seconds=run_seconds)

    def item_dropped(self, reason: Literal["cancelled", "expired"]) -> None:
        self._metrics.item_dropped(reason)

    def item_failed(self) -> None:
        self._metrics.item_failed()

    def batch_split(self) -> None:
        self._metrics.batch_split()

    def device_stalled(self, *, is_stalled: bool) -> None:
        self._lifecycle.device_stalled(is_stalled=is_stalled)

    def device_lost(self, reason: str) -> None:
        self._lifecycle.fail(reason)
