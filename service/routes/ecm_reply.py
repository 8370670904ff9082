"""What the ECM endpoints answer, from the values that the pipeline and the sets give."""

from collections.abc import Sequence

from model_store.emotion import ecm
from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import EcmResult, ExpressionSums
from service.ecm_pipeline import Comparison
from service.pair_sets import AddedPairs, PairSet, PairSetEntry, SetClassifier
from service.readings import describe_classifier, describe_reading
from service.schemas import (
    AddedToSet,
    ClassifierVersion,
    Ecm,
    EcmInterval,
    EcmPair,
    EcmReply,
    EcmSet,
    EcmSetEntry,
    ExpressionRow,
)


def describe_comparison(
    comparison: Comparison, *, request_id: str, added: AddedToSet | None
) -> EcmReply:
    return EcmReply(
        request_id=request_id,
        classifier=describe_classifier(comparison.classifier),
        ecm=_describe_result(comparison.result),
        interval=_describe_interval(comparison.interval),
        pairs=_describe_pairs(comparison),
        set=added,
    )


def describe_addition(name: str, added: AddedPairs) -> AddedToSet:
    return AddedToSet(name=name, replayed=added.is_replay, ecm=_describe_result(added.result))


def describe_set(found: PairSet) -> EcmSet:
    sums = found.sums
    return EcmSet(
        name=found.name,
        classifier=_describe_set_classifier(found.classifier),
        ecm=_describe_result(sums.result()),
        interval=_describe_interval(sums.interval()),
        agreement=sums.num_agreeing / sums.n,
        expressions={EMOTIONS[row.index]: _describe_row(row) for row in sums.by_expression()},
        expires_in_seconds=found.expires_in_seconds,
    )


def describe_entries(entries: Sequence[PairSetEntry]) -> list[EcmSetEntry]:
    return [
        EcmSetEntry(
            name=entry.name,
            classifier=_describe_set_classifier(entry.classifier),
            n=entry.num_pairs,
            expires_in_seconds=entry.expires_in_seconds,
        )
        for entry in entries
    ]


def _describe_pairs(comparison: Comparison) -> list[EcmPair]:
    measures = comparison.measures
    return [
        EcmPair(
            index=index,
            original=describe_reading(original),
            super_resolved=describe_reading(result),
            entropy_difference=float(measures.entropy_difference[index]),
            jensen_shannon=float(measures.jensen_shannon[index]),
            top1_agrees=bool(measures.top1_agrees[index]),
            probability_shift=dict(
                zip(EMOTIONS, measures.probability_shift[index].tolist(), strict=True)
            ),
            landmark_distance=comparison.landmark_distances[index],
        )
        for index, (original, result) in enumerate(
            zip(comparison.originals, comparison.super_resolved, strict=True)
        )
    ]


def _describe_result(result: EcmResult) -> Ecm:
    return Ecm(
        value=result.ecm,
        l_h=result.l_h,
        l_conf=result.l_conf,
        n=result.n,
        degenerate=result.degenerate,
    )


def _describe_interval(interval: ecm.EcmInterval | None) -> EcmInterval | None:
    if interval is None:
        return None
    method = "bootstrap" if interval.num_draws else "sums"
    return EcmInterval(low=interval.low, high=interval.high, method=method)


def _describe_row(row: ExpressionSums) -> ExpressionRow:
    return ExpressionRow(
        n=row.n,
        kept=row.num_kept,
        agreement=row.num_kept / row.n if row.n else None,
        mean_entropy_difference=row.mean_entropy_difference,
        l_h=row.l_h,
    )


def _describe_set_classifier(classifier: SetClassifier) -> ClassifierVersion:
    name, _, version = classifier.reference.partition("@")
    return ClassifierVersion(name=name, version=version, sha256=classifier.sha256)
