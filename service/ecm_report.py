"""What `affectsr ecm` prints and writes: the metric, a table by expression, the worst pairs."""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import EcmSums, Probabilities
from service.ecm_files import FolderComparison
from service.ecm_pipeline import Comparison
from service.engine.base import EmotionReading

_SIDES = ("original", "super_resolved")
_HEAD = (
    "name",
    "problem",
    *(
        f"{side}_{column}"
        for side in _SIDES
        for column in ("expression", *EMOTIONS, "landmark_confidence", "landmarks")
    ),
    "entropy_difference",
    "jensen_shannon",
    "top1_agrees",
    "landmark_distance",
)


def metric_lines(found: FolderComparison) -> Iterator[str]:
    """The metric with its interval and what it is made of."""
    comparison = found.comparison
    if comparison is None:
        return
    result, measures = comparison.result, comparison.measures
    if result.ecm is None:
        value = "ECM is undefined: both sides of every pair have the same entropy"
    else:
        interval = comparison.interval
        between = "" if interval is None else f" [{interval.low:.3f}, {interval.high:.3f}]"
        value = f"ECM {result.ecm:.3f}{between}"
    classifier = comparison.classifier
    yield f"{value}, over {_count(result.n, 'pair')}; lower is better"
    yield f"L_H {result.l_h:.4f}, L_conf {result.l_conf:.6f} nats"
    yield (
        f"{measures.top1_agrees.mean():.1%} keep the likeliest expression, mean |dH| "
        f"{measures.entropy_difference.mean():.4f} nats"
    )
    yield f"read by {classifier.reference}, sha256 {classifier.weights_sha256[:12]}"
    yield "in brackets the 95 % bootstrap interval; compare sets of one size and one classifier"
    if comparison.interval is not None and comparison.interval.num_degenerate:
        left_out = comparison.interval.num_degenerate
        yield f"{left_out} of {comparison.interval.num_draws} resamples had no metric; left out"
    num_fallback = _num_fallback(comparison)
    if num_fallback:
        yield f"{_count(num_fallback, 'pair')} aligned by the mean face: no landmarks were sure"


def expression_rows(comparison: Comparison) -> list[Sequence[str]]:
    """A row for each expression that originals show."""
    rows: list[Sequence[str]] = [("EXPRESSION", "PAIRS", "KEPT", "MEAN |dH|", "L_H")]
    for of_class in EcmSums.of(*_probabilities(comparison)).by_expression():
        mean = of_class.mean_entropy_difference
        rows.append(
            (
                EMOTIONS[of_class.index],
                str(of_class.n),
                f"{of_class.num_kept / of_class.n:.1%}" if of_class.n else "-",
                "-" if mean is None else f"{mean:.4f}",
                f"{of_class.l_h:.4f}",
            )
        )
    return rows


def worst_rows(found: FolderComparison, *, count: int) -> list[Sequence[str]]:
    """The pairs whose expressions are furthest apart, by Jensen-Shannon divergence."""
    comparison = found.comparison
    if comparison is None or not count:
        return []
    divergence = comparison.measures.jensen_shannon
    rows: list[Sequence[str]] = [("WORST PAIRS", "ORIGINAL", "RESULT", "JENSEN-SHANNON", "|dH|")]
    for index in np.argsort(-divergence, kind="stable")[:count].tolist():
        original, result = comparison.originals[index], comparison.super_resolved[index]
        rows.append(
            (
                found.names[index],
                _describe_top(original),
                _describe_top(result),
                f"{divergence[index]:.4f}",
                f"{comparison.measures.entropy_difference[index]:.4f}",
            )
        )
    return rows


def write_csv(path: Path, found: FolderComparison) -> None:
    """Write a line for every name: what was read, what sets the pair apart, or why it has neither.

    Raises:
        OSError: the file cannot be written.
    """
    lines: dict[str, tuple[str, ...]] = {
        left.name: (left.name, left.reason) for left in found.left_out
    }
    lines |= {name: _csv_line(found, index) for index, name in enumerate(found.names)}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_HEAD)
        for name in sorted(lines):
            line = lines[name]
            writer.writerow([*line, *[""] * (len(_HEAD) - len(line))])


def _csv_line(found: FolderComparison, index: int) -> tuple[str, ...]:
    comparison = found.comparison
    assert comparison is not None  # there are names
    measures, distance = comparison.measures, comparison.landmark_distances[index]
    return (
        found.names[index],
        "",
        *_csv_reading(comparison.originals[index]),
        *_csv_reading(comparison.super_resolved[index]),
        f"{measures.entropy_difference[index]:.6f}",
        f"{measures.jensen_shannon[index]:.6f}",
        str(bool(measures.top1_agrees[index])).lower(),
        "" if distance is None else f"{distance:.6f}",
    )


def _csv_reading(reading: EmotionReading) -> tuple[str, ...]:
    return (
        EMOTIONS[reading.top_class],
        *(f"{probability:.6f}" for probability in reading.probabilities),
        f"{reading.landmark_confidence:.6f}",
        "fallback" if reading.is_fallback else "landmarker",
    )


def _describe_top(reading: EmotionReading) -> str:
    return f"{EMOTIONS[reading.top_class]} {reading.probabilities.max():.2f}"


def _probabilities(comparison: Comparison) -> tuple[Probabilities, Probabilities]:
    first, second = (
        np.stack([reading.probabilities for reading in side])
        for side in (comparison.originals, comparison.super_resolved)
    )
    return first, second


def _num_fallback(comparison: Comparison) -> int:
    pairs = zip(comparison.originals, comparison.super_resolved, strict=True)
    return sum(original.is_fallback or result.is_fallback for original, result in pairs)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
