"""The manifest of a published model version: what it is, how it was made, how well it does."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from model_store.errors import ManifestError

MANIFEST_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a version's weights were made.

    Attributes:
        start: What they started from: "nothing", "name@version", a file's name or "run/best.pt".
        data: Names of the face packs with the number of faces learnt from in each.
        data_digests: Digest of each pack's checksums.
        steps: Optimiser steps of the published weights, after the start.
        images_seen: Faces of those steps, repeats counted.
        config: The run's whole configuration.
        share_of_run: How far the weights are on the way from the start to what the steps made of
            it: 1 unless the two were blended.
    """

    start: str
    data: Mapping[str, int]
    data_digests: Mapping[str, str]
    steps: int
    images_seen: int
    config: Mapping[str, object]
    share_of_run: float = 1.0


@dataclass(frozen=True, kw_only=True)
class ModelManifest:
    """A published version. Its weights file is trusted only with the digest that stands here.

    Attributes:
        name: Model name, such as "affectsrnet-x8".
        version: Counts from "1"; a version never changes.
        architecture: Which network the weights are for, as model_store.architectures names it.
        config: The network's configuration, by field name.
        scale: Upscaling factor; None for networks that do not upscale.
        num_parameters: Trained values, buffers not counted.
        weights_sha256: Digest of weights.safetensors.
        metrics: What evaluation measured on these very weights, by name with unit.
        training: How the weights were made.
        licence: Terms of the weights.
        git_commit: The code that trained them.
        created: UTC time of publication, ISO 8601.
        allowed_worse: Why it was published although it was found worse than it should be or than
            the version before it; empty where it was not.
    """

    name: str
    version: str
    architecture: str
    config: Mapping[str, object]
    scale: int | None
    num_parameters: int
    weights_sha256: str
    metrics: Mapping[str, float]
    training: TrainingRecord
    licence: str
    git_commit: str
    created: str
    allowed_worse: str = ""

    @property
    def reference(self) -> str:
        """The exact version, as "name@version"."""
        return f"{self.name}@{self.version}"


def write_manifest(path: Path, manifest: ModelManifest) -> None:
    """Write a manifest as indented JSON."""
    document = {"format": MANIFEST_FORMAT, **asdict(manifest)}
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_manifest(path: Path) -> ModelManifest:
    """Read and check a manifest.

    Raises:
        ManifestError: it is missing, no JSON, of another format, or a field is missing or of the
            wrong kind; the message names the file and what is wrong with it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ManifestError(
            f"{path} is missing: the version was not published completely; restore its folder "
            "from the repository or remove it"
        ) from None
    except (OSError, ValueError) as error:
        raise ManifestError(f"{path} is no readable manifest ({error}); restore it") from error
    if not isinstance(document, dict) or document.pop("format", None) != MANIFEST_FORMAT:
        raise ManifestError(f"{path} is no manifest of format {MANIFEST_FORMAT}")
    try:
        training = TrainingRecord(**document.pop("training"))
        manifest = ModelManifest(training=training, **document)
    except (KeyError, TypeError) as error:
        raise ManifestError(f"{path} does not fit this program ({error})") from error
    _check_kinds(path, manifest)
    return manifest


def _check_kinds(path: Path, manifest: ModelManifest) -> None:
    kinds = {
        **dict.fromkeys(("config", "metrics", "training"), (dict, TrainingRecord)),
        "scale": (int, type(None)),
        "num_parameters": (int,),
    }
    for field in fields(ModelManifest):
        value = getattr(manifest, field.name)
        expected = kinds.get(field.name, (str,))
        if not isinstance(value, expected):
            raise ManifestError(f"{path}: {field.name} is {value!r}; it must be {expected[0]}")
