"""Every time series of the service, in one object with a registry of its own.

Nothing is labelled by caller, file or size: those have no bound.
"""

from typing import Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    Summary,
)
from prometheus_client.exposition import choose_encoder

STAGES = ("read", "decode", "detect", "queue", "landmarks", "infer", "paste", "encode", "total")

# Doubling from half a millisecond to past the longest deadline that settings allow by default.
_SECONDS_BUCKETS = tuple(0.0005 * 2**power for power in range(19))
_BATCH_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


_HEAD_REFUSALS = {408: "slow-head", 431: "large-head", 503: "too-many-connections"}

DropReason = Literal["cancelled", "expired"]
"""Why the queue dropped an image: its caller went, or its deadline passed."""

FaceAction = Literal["upscaled", "left-alone", "not-selected"]
"""What was done with a face that was found in a whole photo."""


class Metrics:
    """What is counted, by what happened; the names on the wire stand in `__init__`."""

    def __init__(self, *, max_batch_size: int) -> None:
        self._max_batch_size = max_batch_size
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._stage_seconds = Histogram(
            "affectsr_stage_seconds",
            "Time that a request spent in a stage; total is the whole of it.",
            ["stage"],
            buckets=_SECONDS_BUCKETS,
            registry=self._registry,
        )
        self._requests = self._counter("requests", "Answered requests.", "route", "code")
        self._rejected = self._counter("rejected", "Requests refused, by problem type.", "reason")
        self._cancelled = self._counter(
            "cancelled", "Work dropped because nobody waits for it.", "where"
        )
        # Looked up by its labels, for each request, a series costs as much again as to count in it.
        self._stages: dict[str, Histogram] = {}
        self._answers: dict[tuple[str, int], Counter] = {}
        for reason in get_args(DropReason):
            self._cancelled.labels(f"queue_{reason}")  # from 0 on, so that a rate has the first one
        self._poisoned = self._counter("poisoned", "Images that the model failed on, alone.")
        self._oom_splits = self._counter(
            "oom_splits", "Batches that did not fit the device's memory and were run in parts."
        )
        self._landmark_source = self._counter(
            "landmark_source", "Upscaled images by where their landmarks came from.", "source"
        )
        self._photo_faces = self._counter(
            "photo_faces", "Faces found in whole photos, by what was done with them.", "action"
        )
        for action in get_args(FaceAction):
            self._photo_faces.labels(action)  # as above
        self._expression_agreement = Summary(
            "affectsr_expression_agreement",
            "1 where result and input show the same expression, by the input's; sum over count.",
            ["expression"],
            registry=self._registry,
        )
        self._batch_size = Histogram(
            "affectsr_batch_size",
            "Images in a batch.",
            buckets=_BATCH_BUCKETS,
            registry=self._registry,
        )
        self._batch_fill = self._gauge(
            "batch_fill_ratio", "Images in the last batch over max_batch_size."
        )
        self._queue_depth = self._gauge("queue_depth", "Images that wait for the device.")
        self._queue_pixels = self._gauge("queue_pixels", "Output pixels that wait.")
        self._inflight = self._gauge("inflight", "Admitted images whose request is unanswered.")
        self._ready = self._gauge("ready", "1 when new work is welcome.")
        self._engine_info = self._gauge(
            "engine_info",
            "1 for the engine that computes; passed_over names faster ones that could not be had.",
            "engine",
            "device",
            "dtype",
            "passed_over",
        )
        self._model_info = self._gauge(
            "model_info", "1 for each model that is served.", "model", "version", "sha256"
        )

        self._cache = self._counter(
            "cache", "Look-ups and stores of the response cache.", "tier", "result"
        )
        self._redis_breaker_state = self._gauge(
            "redis_breaker_state", "0: Redis is used; 1: one use tries it; 2: it is left alone."
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"affectsr_{name}", text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"affectsr_{name}", text, labels, registry=self._registry)

    # --- requests ---

    def request_answered(self, *, route: str, code: int) -> None:
        answers = self._answers.get((route, code))
        if answers is None:
            answers = self._answers[route, code] = self._requests.labels(route, str(code))
        answers.inc()

    def request_rejected(self, reason: str) -> None:
        self._rejected.labels(reason).inc()

    def head_refused(self, code: int) -> None:
        """Answered before there was a request: no route and no problem document tells of it."""
        self.request_answered(route="unmatched", code=code)
        self.request_rejected(_HEAD_REFUSALS.get(code, "no-http"))

    def stage_finished(self, stage: str, seconds: float) -> None:
        series = self._stages.get(stage)
        if series is None:
            series = self._stages[stage] = self._stage_seconds.labels(stage)
        series.observe(seconds)

    def landmarks_found(self, seconds: float) -> None:
        """Of a whole batch, and a part of its infer; called on the engine's thread."""
        self.stage_finished("landmarks", seconds)

    def inflight_changed(self, num_images: int) -> None:
        self._inflight.set(num_images)

    def image_upscaled(self, *, landmark_source: str) -> None:
        self._landmark_source.labels(landmark_source).inc()

    def photo_face_found(self, *, action: FaceAction) -> None:
        self._photo_faces.labels(action).inc()

    def expression_read(self, *, expression: str, agrees: bool) -> None:
        self._expression_agreement.labels(expression).observe(float(agrees))

    # --- the batcher's queue ---

    def queue_changed(self, *, num_items: int, cost: int) -> None:
        self._queue_depth.set(num_items)
        self._queue_pixels.set(cost)

    def batch_finished(self, *, num_items: int) -> None:
        self._batch_size.observe(num_items)
        self._batch_fill.set(num_items / self._max_batch_size)

    def item_dropped(self, reason: DropReason) -> None:
        self._cancelled.labels(f"queue_{reason}").inc()

    def item_failed(self) -> None:
        self._poisoned.inc()

    def batch_split(self) -> None:
        self._oom_splits.inc()

    # --- the cache and Redis ---

    def cache_used(self, tier: str, result: str) -> None:
        self._cache.labels(tier, result).inc()

    def redis_breaker_changed(self, state: int) -> None:
        self._redis_breaker_state.set(state)

    # --- the service ---

    def readiness_changed(self, *, is_ready: bool) -> None:
        self._ready.set(is_ready)

    def engine_chosen(self, *, engine: str, device: str, dtype: str, passed_over: str) -> None:
        self._engine_info.labels(engine, device, dtype, passed_over).set(1)

    def model_served(self, *, model: str, version: str, sha256: str) -> None:
        self._model_info.labels(model, version, sha256).set(1)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """All series as text, in the form that the scraper accepts, with its content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
