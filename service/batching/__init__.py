"""Single items in, batches to the one device, each caller its own result.

Stands between admission and the engine and knows neither torch nor HTTP. An item is whatever the
runner takes; `key` says which items may share a batch (for upscaling the model's reference: the
engine brings every image to that model's grid, so the size of an image does not matter).

batcher.py takes items and forms batches; waiting.py is the queue; worker.py runs what was formed
and answers for each item, whatever the device does; size_cap.py remembers how much fits the
device's memory; watchdog.py says whether the device still answers.
"""

from service.batching.batcher import DynamicBatcher
from service.batching.values import Batched, BatchLimits, BatchObserver, BatchRunner, Claim

__all__ = ["BatchLimits", "BatchObserver", "BatchRunner", "Batched", "Claim", "DynamicBatcher"]
