"""From pairs of image files to what became of their expressions.

admit -> decode -> batch (engine) -> compare each pair -> the metric of all of them, and where a set
is named, add their sums to it. The images of a pair are read by themselves: their sizes may differ.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from model_store.emotion.ecm import (
    EcmInterval,
    EcmResult,
    EcmSums,
    PairMeasures,
    Probabilities,
    bootstrap_interval,
    emotion_consistency,
    pair_measures,
)
from model_store.landmarks.distance import normalised_mean_error
from service.engine.base import EmotionReading, ServedVersion
from service.engine_room import EngineRoom, StageTimes
from service.errors import ImageError, NoFaceError, ServiceError
from service.images import DecodedImage
from service.pair_sets import AddedPairs, Addition, IdempotencyKey, PairSetStore, SetClassifier

_SIDES = ("original", "super_resolved")

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class EcmOrder:
    """Pairs that a caller wants compared.

    Attributes:
        originals: files as they came, at least one.
        super_resolved: as many, in the same order.
        deadline: on the room's clock.
    """

    originals: Sequence[bytes]
    super_resolved: Sequence[bytes]
    deadline: float = math.inf


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What was read in N pairs, and how they compare.

    Attributes:
        originals: N readings.
        super_resolved: N readings, in the same order.
        measures: of each pair, in the same order.
        landmark_distances: N distances of the result's landmarks from the original's, in distances
            between the original's outer eye corners; None where a side's were not found.
        result: the metric of all N.
        interval: its 95 % interval; None where there is none.
    """

    classifier: ServedVersion
    originals: Sequence[EmotionReading]
    super_resolved: Sequence[EmotionReading]
    measures: PairMeasures
    landmark_distances: Sequence[float | None]
    result: EcmResult
    interval: EcmInterval | None


class EcmPipeline:
    """What a request for comparing expressions walks through."""

    def __init__(self, room: EngineRoom, sets: PairSetStore, *, min_face_confidence: float) -> None:
        self.sets = sets
        self._room = room
        self._min_face_confidence = min_face_confidence

    def require_classifier(self) -> ServedVersion:
        """Return the classifier that reads the expressions here.

        Raises:
            NoClassifierError: none is loaded.
        """
        return self._room.require_classifier()

    async def compare(self, order: EcmOrder, times: StageTimes) -> Comparison:
        """Read all pairs and compare them; one image that cannot be read fails them all.

        Left out it would change the set, and so the metric, without a word.

        Raises:
            NoClassifierError: none is loaded.
            ImageError: an image cannot be decoded, or shows no face; the message says which.
            CapacityError: overloaded, stopping, or the deadline passed.
        """
        classifier = self.require_classifier()
        files = [*order.originals, *order.super_resolved]
        async with self._room.admitted(len(files), deadline=order.deadline):
            images = _all_of(DecodedImage, await self._room.decode_all(files, times))
            outcomes = await self._read(images, deadline=order.deadline, times=times)
        readings = _all_of(EmotionReading, outcomes)
        self._require_faces(readings)
        originals, super_resolved = _sides_of(readings)
        if len(originals) == 1:
            # Without an interval it takes less time than the way to a thread and back.
            return compare_readings(classifier, originals, super_resolved)
        return await asyncio.to_thread(compare_readings, classifier, originals, super_resolved)

    async def add(
        self, owner: str, name: str, comparison: Comparison, *, key: IdempotencyKey | None
    ) -> AddedPairs:
        """Add a comparison's pairs to a running set.

        Raises:
            ServiceError: see `PairSetStore.add`.
        """
        classifier = comparison.classifier
        addition = Addition(
            classifier=SetClassifier(
                reference=classifier.reference, sha256=classifier.weights_sha256
            ),
            sums=EcmSums.of(_rows(comparison.originals), _rows(comparison.super_resolved)),
            key=key,
        )
        return await self.sets.add(owner, name, addition)

    async def _read(
        self, images: Sequence[DecodedImage], *, deadline: float, times: StageTimes
    ) -> list[EmotionReading | ServiceError]:
        """Read images, equal ones once.

        Read in two batches, the same pixels would differ by rounding, and have a metric of it where
        there is none.
        """

        async def read(image: DecodedImage) -> EmotionReading | ServiceError:
            try:
                return await self._room.read_emotion(image.rgb, deadline=deadline, times=times)
            except ServiceError as error:
                return error

        pixels = [(image.rgb.shape, image.rgb.tobytes()) for image in images]
        distinct = dict(zip(pixels, images, strict=True))
        async with asyncio.TaskGroup() as group:
            tasks = {key: group.create_task(read(image)) for key, image in distinct.items()}
        return [tasks[key].result() for key in pixels]

    def _require_faces(self, readings: Sequence[EmotionReading]) -> None:
        faceless = [
            f"{_place(index, len(readings))} (confidence {reading.landmark_confidence:.3f})"
            for index, reading in enumerate(readings)
            if reading.landmark_confidence < self._min_face_confidence
        ]
        if faceless:
            raise NoFaceError(
                f"no face was found in {', '.join(faceless)}; a face has a confidence of at least "
                f"{self._min_face_confidence:g}: send upright crops of one face each, and leave "
                "the pair out if there is none"
            )


def compare_readings(
    classifier: ServedVersion,
    originals: Sequence[EmotionReading],
    super_resolved: Sequence[EmotionReading],
) -> Comparison:
    """Compare N readings with N others, at least one, all of the same classifier."""
    rows = _rows(originals), _rows(super_resolved)
    return Comparison(
        classifier=classifier,
        originals=originals,
        super_resolved=super_resolved,
        measures=pair_measures(*rows),
        landmark_distances=[
            _landmark_distance(original, result)
            for original, result in zip(originals, super_resolved, strict=True)
        ],
        result=emotion_consistency(*rows),
        # One pair has none, which it would take two more checks of the rows to say.
        interval=bootstrap_interval(*rows) if len(originals) > 1 else None,
    )


def _landmark_distance(original: EmotionReading, result: EmotionReading) -> float | None:
    if original.is_fallback or result.is_fallback:
        return None
    return float(normalised_mean_error(result.landmarks[None], original.landmarks[None])[0])


def _rows(readings: Sequence[EmotionReading]) -> Probabilities:
    """N readings -> (N, 7) float64."""
    return np.stack([reading.probabilities for reading in readings])


def _all_of(kind: type[T], outcomes: Sequence[T | ServiceError]) -> list[T]:
    """What came of both sides' images, the originals first, if all went well.

    Raises:
        ImageError: the first image that cannot be read; the message says which.
        ServiceError: another error, which concerns no one image, before any of these.
    """
    errors = [
        (index, outcome)
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, ServiceError)
    ]
    for _, error in errors:
        if not isinstance(error, ImageError):
            raise error
    if errors:
        index, error = errors[0]
        raise type(error)(f"{_place(index, len(outcomes))}: {error}") from error
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def _sides_of(both: Sequence[T]) -> tuple[Sequence[T], Sequence[T]]:
    return both[: len(both) // 2], both[len(both) // 2 :]


def _place(index: int, count: int) -> str:
    """How a message names one of both sides' images: "original", or "original 3" of several.

    They are counted from 0, as in JSON.
    """
    num_pairs = count // 2
    side = _SIDES[index // num_pairs]
    return side if num_pairs == 1 else f"{side} {index % num_pairs}"
