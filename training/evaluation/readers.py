"""Networks that read faces instead of making them: one kind for each of what they read.

What sets a kind apart (its test faces, its columns, what it must reach) is in its own module;
whoever evaluates or publishes asks here which kind a network is of.
"""

from collections.abc import Iterable, Mapping, Sequence

from model_store.architectures import Network
from training.errors import TrainingError
from training.evaluation.classifier import ClassifierKind
from training.evaluation.landmarker import LandmarkerKind
from training.evaluation.reader_kind import ReaderKind

READER_KINDS: Sequence[ReaderKind] = (LandmarkerKind(), ClassifierKind())


def reader_kind(architecture: str) -> ReaderKind | None:
    """The kind of an architecture; None for what makes images."""
    return next((kind for kind in READER_KINDS if architecture in kind.architectures), None)


def common_reader_kind(networks: Mapping[str, Network], names: Iterable[str]) -> ReaderKind | None:
    """The kind that all models of one evaluation are of; None where all make images.

    Args:
        networks: Those of the models that are networks, by name.
        names: All models.

    Raises:
        TrainingError: they are of several kinds, whose numbers do not belong beside each other.
    """
    kinds = {name: reader_kind(network.config.architecture) for name, network in networks.items()}
    found = {name: kinds.get(name) for name in names}
    chosen = next((kind for kind in found.values() if kind is not None), None)
    others = [name for name, kind in found.items() if kind is not chosen]
    if chosen is not None and others:
        alike = ", ".join(name for name in found if name not in others)
        raise TrainingError(
            f"{alike} {chosen.does}, {', '.join(others)} not; evaluate them in separate calls"
        )
    return chosen
