"""The model store: published versions in a folder, found by name, trusted by checksum.

``ROOT/NAME/VERSION/{weights.safetensors, manifest.json}``, and ``ROOT/NAME/default`` with the
version that the bare name means. A version never changes; the default moves.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from model_store.architectures import build_network, network_config
from model_store.errors import (
    ChecksumMismatchError,
    ManifestError,
    ModelNotFoundError,
    StoreUnreadableError,
)
from model_store.manifest import ModelManifest, TrainingRecord, read_manifest, write_manifest

DEFAULT_ROOT = Path(__file__).parent / "artifacts"

_WEIGHTS_NAME = "weights.safetensors"
_MANIFEST_NAME = "manifest.json"
_DEFAULT_NAME = "default"
_NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_VERSION_PATTERN = re.compile(r"[1-9][0-9]{0,8}")


@dataclass(frozen=True)
class LoadedModel:
    """A version in memory: its manifest, and its network in eval mode on the asked device."""

    manifest: ModelManifest
    module: nn.Module


class ModelStore:
    """The published versions under one folder."""

    def __init__(self, root: Path = DEFAULT_ROOT) -> None:
        self._root = root
        self._loaded: dict[str, ModelManifest] = {}

    @property
    def loaded(self) -> Mapping[str, ModelManifest]:
        """Every version that `load` has given so far, by reference."""
        return self._loaded

    def names(self) -> list[str]:
        """Names of all models that have a version, sorted.

        Raises:
            StoreUnreadableError: the folder, or one in it, may not be read.
        """
        found = (name for name in _folders_in(self._root) if _NAME_PATTERN.fullmatch(name))
        return sorted(name for name in found if self.versions(name))

    def names_of(self, architecture: str) -> list[str]:
        """Names of the models whose default version is of an architecture, sorted.

        Raises:
            StoreUnreadableError: see `names`.
            ManifestError: a manifest cannot be trusted.
        """
        return [name for name in self.names() if self.resolve(name).architecture == architecture]

    def versions(self, name: str) -> list[str]:
        """Versions of a model, oldest first; empty for an unknown name.

        Raises:
            StoreUnreadableError: the model's folder may not be read.
        """
        if not _NAME_PATTERN.fullmatch(name):
            return []
        found = _folders_in(self._root / name)
        return sorted((v for v in found if _VERSION_PATTERN.fullmatch(v)), key=int)

    def manifests(self) -> list[ModelManifest]:
        """Manifests of all versions, by name, oldest first.

        Raises:
            ManifestError: a version's manifest cannot be trusted.
        """
        return [self._read(name, v) for name in self.names() for v in self.versions(name)]

    def resolve(self, reference: str) -> ModelManifest:
        """Find the version that "name@version" or a bare "name" (its default) means.

        Raises:
            ModelNotFoundError: no such name or version.
            ManifestError: the version's manifest cannot be trusted.
        """
        name, _, version = reference.partition("@")
        versions = self.versions(name)
        if not versions:
            known = ", ".join(self.names()) or "none"
            raise ModelNotFoundError(f"there is no model {name!r}; published: {known}")
        version = version or self._default_version(name)
        if version not in versions:
            raise ModelNotFoundError(
                f"{name} has no version {version!r}; published: {', '.join(versions)}"
            )
        return self._read(name, version)

    def load(self, reference: str, *, device: torch.device | str = "cpu") -> LoadedModel:
        """Build a version's network with its weights, in float32 and eval mode, on ``device``.

        Raises:
            ModelNotFoundError: no such name or version.
            ManifestError: a file is missing or half-written, or weights and manifest disagree.
            ChecksumMismatchError: the weights are not the ones that were published.
        """
        manifest = self.resolve(reference)
        path = self._folder(manifest.name, manifest.version) / _WEIGHTS_NAME
        _verify_checksum(path, manifest)
        try:
            network = build_network(manifest.architecture, manifest.config)
            state = {key: value.float() for key, value in load_file(path).items()}
            integers = {k for k, v in network.state_dict().items() if not v.is_floating_point()}
            state = {k: v.long() if k in integers else v for k, v in state.items()}
            network.load_state_dict(state)
        except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
            raise ManifestError(
                f"{path} does not fit its manifest ({error}); restore the version's folder"
            ) from error
        self._loaded[manifest.reference] = manifest
        return LoadedModel(manifest, network.to(device).eval().requires_grad_(False))

    def publish(
        self,
        network: nn.Module,
        *,
        name: str,
        metrics: Mapping[str, float],
        training: TrainingRecord,
        licence: str,
        git_commit: str,
        allowed_worse: str = "",
    ) -> ModelManifest:
        """Write a network's weights as the next version of ``name`` and make it the default.

        Weights are stored in half precision. The version's folder appears complete or not at all.

        Raises:
            ValueError: the name is not made of a-z, 0-9 and "-", or a weight is not finite.
        """
        if not _NAME_PATTERN.fullmatch(name):
            raise ValueError(f"model name is {name!r}; use a-z, 0-9 and '-'")
        state = {key: _half(key, value) for key, value in network.state_dict().items()}
        architecture, config = network_config(network)
        version = str(int(next(reversed(self.versions(name)), "0")) + 1)
        parent = self._root / name
        parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".publishing-", dir=parent))
        try:
            weights = partial / _WEIGHTS_NAME
            save_file(state, weights)
            scale = config.get("scale")
            manifest = ModelManifest(
                name=name,
                version=version,
                architecture=architecture,
                config=config,
                scale=scale if isinstance(scale, int) else None,
                num_parameters=sum(p.numel() for p in network.parameters()),
                weights_sha256=_sha256(weights),
                metrics=dict(metrics),
                training=training,
                licence=licence,
                git_commit=git_commit,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                allowed_worse=allowed_worse,
            )
            write_manifest(partial / _MANIFEST_NAME, manifest)
            # mkdtemp and safetensors write for the owner alone; the service is another user.
            partial.chmod(0o755)
            weights.chmod(0o644)
            partial.rename(self._folder(name, version))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        self.set_default(name, version)
        return manifest

    def set_default(self, name: str, version: str) -> None:
        """Let the bare ``name`` mean ``version`` from now on.

        Raises:
            ModelNotFoundError: no such version.
        """
        if version not in self.versions(name):
            raise ModelNotFoundError(f"{name} has no version {version!r}")
        target = self._root / name / _DEFAULT_NAME
        partial = target.with_suffix(".partial")
        partial.write_text(version + "\n", encoding="ascii")
        partial.replace(target)

    def _default_version(self, name: str) -> str:
        path = self._root / name / _DEFAULT_NAME
        try:
            return path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ManifestError(
                f"{path} cannot be read ({error}); it must hold the version that {name!r} means"
            ) from error

    def _read(self, name: str, version: str) -> ModelManifest:
        path = self._folder(name, version) / _MANIFEST_NAME
        manifest = read_manifest(path)
        if (manifest.name, manifest.version) != (name, version):
            raise ManifestError(f"{path} says it is {manifest.reference}; restore the folder")
        return manifest

    def _folder(self, name: str, version: str) -> Path:
        return self._root / name / version


def _folders_in(folder: Path) -> list[str]:
    """Names of the folders in one; none where it is not there."""
    try:
        return [path.name for path in folder.iterdir() if path.is_dir()]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreUnreadableError(
            f"{folder} cannot be read ({error.strerror}); let the user of this process read and "
            "enter it and all that is in it (chmod -R a+rX), or look at how it is mounted"
        ) from error


def _verify_checksum(path: Path, manifest: ModelManifest) -> None:
    try:
        digest = _sha256(path)
    except OSError as error:
        raise ManifestError(
            f"{path} cannot be read ({error}): the version was not published completely; "
            "restore its folder from the repository or remove it"
        ) from error
    if digest != manifest.weights_sha256:
        raise ChecksumMismatchError(
            f"{path} has sha256 {digest[:12]}..., its manifest says "
            f"{manifest.weights_sha256[:12]}...; restore the version's folder from the repository"
        )


def _half(key: str, value: torch.Tensor) -> torch.Tensor:
    if not value.is_floating_point():
        return value.detach().cpu().contiguous()
    half = value.detach().half().cpu().contiguous()
    if not bool(torch.isfinite(half).all()):
        raise ValueError(f"weight {key} is not finite in half precision; nothing was published")
    return half


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
