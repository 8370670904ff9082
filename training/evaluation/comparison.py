"""Models measured on the same faces: every number with its interval, and what sets them apart."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from model_store.landmarks.distance import normalised_mean_error
from training.errors import DataError
from training.evaluation.faces import FaceSet
from training.evaluation.measures.measure import Column, FaceMeasure
from training.evaluation.models import BICUBIC, Model, ModelDescription
from training.quality import Estimate, Values, count_measured

GIVEN_LANDMARKS = Column(
    "given_nme",
    "Landmark NME of what the network is given",
    "given to the network, against MediaPipe's of the original",
    higher_is_better=None,
    decimals=4,
)

PROTOCOLS_LR_IMAGES = "Pillow's bicubic in 8 bits"


class TestFaces(Protocol):
    """A set of faces that models are measured on, as far as a comparison asks.

    Attributes:
        name: Name of the pack.
        digest: Digest of the pack's checksums.
    """

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True)
class ModelResult:
    """What was measured of one model.

    Attributes:
        description: The model.
        values: By set and column, the values of the set's faces.
        estimates: By set and column; what could not be measured is absent.
        means: By column, each set counting the same.
    """

    description: ModelDescription
    values: Mapping[str, Mapping[str, Values]]
    estimates: Mapping[str, Mapping[str, Estimate]]
    means: Mapping[str, Estimate]

    @property
    def title(self) -> str:
        """How the model is named in reports."""
        return self.description.title


@dataclass(frozen=True)
class Difference:
    """One model minus another on the same faces.

    Attributes:
        title: Of the model.
        reference: Title of the one that is subtracted.
        scale: Of both.
        estimates: By set and column.
        means: By column, each set counting the same.
    """

    title: str
    reference: str
    scale: int | None
    estimates: Mapping[str, Mapping[str, Estimate]]
    means: Mapping[str, Estimate]


@dataclass(frozen=True)
class Comparison:
    """All models of one call, on the same faces.

    Attributes:
        columns: What was measured, in the order in which it is shown.
        num_faces: By set, in order.
        digests: By set, of its pack.
        results: Model by model, bicubic first at each scale.
        differences: Every model against bicubic and against the reference; every landmark
            control against the same network with its own landmarks, where that was measured.
        notes: What a reader has to know besides: what was left out and why, and what is leakage.
        lr_images: How they were made of the originals.
    """

    columns: tuple[Column, ...]
    num_faces: Mapping[str, int]
    digests: Mapping[str, str]
    results: tuple[ModelResult, ...]
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    lr_images: str = PROTOCOLS_LR_IMAGES

    @property
    def has_papers_inputs(self) -> bool:
        """Whether the paper's numbers may stand beside these."""
        return self.lr_images == PROTOCOLS_LR_IMAGES

    @property
    def scales(self) -> tuple[int, ...]:
        """The scales that models were measured at, in order."""
        scales = {result.description.scale for result in self.results}
        return tuple(sorted(scale for scale in scales if scale is not None))

    def at_scale(self, scale: int | None) -> tuple[ModelResult, ...]:
        """The models of one scale."""
        return tuple(r for r in self.results if r.description.scale == scale)

    def find(self, title: str, *, scale: int | None) -> ModelResult | None:
        """The model of that title at one scale."""
        return next((r for r in self.at_scale(scale) if r.title == title), None)

    def find_difference(
        self, result: ModelResult, *, reference: str = BICUBIC
    ) -> Difference | None:
        """A model's difference to another one of its scale; None where it is not in the report."""
        scale = result.description.scale
        wanted = (result.title, reference, scale)
        found = (d for d in self.differences if (d.title, d.reference, d.scale) == wanted)
        return next(found, None)


def measure_models(
    models: Sequence[Model],
    sets: Sequence[FaceSet],
    *,
    measures: Sequence[FaceMeasure],
    against: str | None = None,
    notes: Sequence[str] = (),
    notify: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Measure models on all faces of some sets.

    Args:
        models: Of any scales.
        sets: None of them learnt from by any model.
        measures: What is measured of every model.
        against: Title of the reference of the differences; None takes the first of each scale.
        notes: For the report.
        notify: Is told what is being measured.

    Raises:
        DataError: a model learnt from a set, or its images cannot be read.
    """
    for model in models:
        refuse_learnt(model.description, sets)
    results = []
    for model in models:
        notify(f"measuring {model.description.title} at x{model.scale} ...")
        results.append(_measure(model, sets, measures))
    columns = (*(c for measure in measures for c in measure.columns), GIVEN_LANDMARKS)
    present = {name for r in results for values in r.values.values() for name in values}
    return compare_results(
        results,
        sets,
        columns=[c for c in columns if c.name in present],
        against=against,
        notes=notes,
    )


def compare_results(
    results: Sequence[ModelResult],
    sets: Sequence[TestFaces],
    *,
    columns: Sequence[Column],
    against: str | None = None,
    notes: Sequence[str] = (),
) -> Comparison:
    """Put results of the same sets together; the notes count the faces that a column lacks."""
    return Comparison(
        columns=tuple(columns),
        num_faces={faces.name: len(faces) for faces in sets},
        digests={faces.name: faces.digest for faces in sets},
        results=tuple(results),
        differences=tuple(
            subtract(result, reference, columns=columns)
            for result, reference in _pairs(results, against)
        ),
        notes=(*notes, *_missing_faces(results, sets, columns)),
    )


def subtract(
    result: ModelResult, reference: ModelResult, *, columns: Sequence[Column]
) -> Difference:
    """One model minus another on the same faces; columns that either lacks are left out."""
    estimates: dict[str, dict[str, Estimate]] = {name: {} for name in result.values}
    means: dict[str, Estimate] = {}
    for column in columns:
        pairs = {
            name: (ours[column.name], reference.values[name][column.name])
            for name, ours in result.values.items()
            if column.name in ours and column.name in reference.values[name]
        }
        for name, pair in pairs.items():
            _keep(estimates[name], column, column.difference([pair]))
        if pairs and len(pairs) == len(result.values):
            _keep(means, column, column.difference(list(pairs.values())))
    scale = result.description.scale
    return Difference(result.title, reference.title, scale, estimates, means)


def result_of(
    description: ModelDescription,
    values: Mapping[str, Mapping[str, Values]],
    columns: Sequence[Column],
) -> ModelResult:
    """Estimate every column of a model's values, by set and over the sets."""
    estimates: dict[str, dict[str, Estimate]] = {name: {} for name in values}
    means: dict[str, Estimate] = {}
    for column in columns:
        measured = {s: of_set[column.name] for s, of_set in values.items() if column.name in of_set}
        for name, of_faces in measured.items():
            _keep(estimates[name], column, column.estimate([of_faces]))
        if measured and len(measured) == len(values):
            _keep(means, column, column.estimate(list(measured.values())))
    return ModelResult(description, values, estimates, means)


def refuse_learnt(model: ModelDescription, sets: Sequence[TestFaces]) -> None:
    """Refuse to measure a model on what it learnt from.

    Raises:
        DataError: it learnt from one of the sets, by name or by content.
    """
    seen = [faces.name for faces in sets if {faces.name, faces.digest} & set(model.learnt)]
    if seen:
        raise DataError(
            f"{', '.join(seen)} was learnt from by {model.name}; a test set must not be. Name "
            "another with --test"
        )


def _measure(model: Model, sets: Sequence[FaceSet], measures: Sequence[FaceMeasure]) -> ModelResult:
    values: dict[str, dict[str, Values]] = {}
    for faces in sets:
        lr = faces.at_scale(model.scale)
        images = model.upscaler.upscale(lr)
        of_set: dict[str, Values] = {}
        for measure in measures:
            of_set |= measure.measure(images, faces)
        given = model.upscaler.landmarks(lr)
        if given is not None:
            error = normalised_mean_error(given, faces.landmarks)
            of_set[GIVEN_LANDMARKS.name] = error.double().numpy()
        values[faces.name] = of_set
    columns = [c for measure in measures for c in measure.columns]
    return result_of(model.description, values, [*columns, GIVEN_LANDMARKS])


def _pairs(
    results: Sequence[ModelResult], against: str | None
) -> Iterator[tuple[ModelResult, ModelResult]]:
    """Which differences a report holds; see Comparison.differences."""
    for result in results:
        peers = [r for r in results if r.description.scale == result.description.scale]
        models = [r for r in peers if r.description.name != BICUBIC]
        bicubic = [r for r in peers if r.description.name == BICUBIC]
        named = [r for r in peers if r.title == against]
        own = [r for r in models if r.title == result.description.name and r is not result]
        if result.description.name == BICUBIC and not named:
            continue
        references = own or [*bicubic[:1], *(named or models)[:1]]
        for reference in {r.title: r for r in references}.values():
            if reference is not result:
                yield result, reference


def _missing_faces(
    results: Sequence[ModelResult], sets: Sequence[TestFaces], columns: Sequence[Column]
) -> Iterator[str]:
    """One note for all numbers of one basis that are not over all faces."""
    for basis in dict.fromkeys(column.basis for column in columns):
        names = [column.name for column in columns if column.basis == basis]
        models: list[str] = []
        for result in results:
            counts = [_count_missing(result, faces, names) for faces in sets]
            lacking = ", ".join(
                f"{count} of {len(faces)} of {faces.name}"
                for count, faces in zip(counts, sets, strict=True)
                if count
            )
            scale = result.description.scale
            if lacking:
                where = result.title if scale is None else f"{result.title} x{scale}"
                models.append(f"{where}: {lacking}")
        if models:
            yield f"Images without a face, left out there ({basis}): {'; '.join(models)}."


def _count_missing(result: ModelResult, faces: TestFaces, names: Sequence[str]) -> int:
    of_set = result.values[faces.name]
    measured = [count_measured(of_set[name]) for name in names if name in of_set]
    return len(faces) - min(measured) if measured else 0


def _keep(target: dict[str, Estimate], column: Column, estimate: Estimate | None) -> None:
    if estimate is not None:
        target[column.name] = estimate
