"""Where a run's weights start from: a published version, a file, another run, a face network."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from model_store.affectsrnet.network import LANDMARK_BRANCH_PREFIXES
from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.identity_weights import load_identity_backbone
from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from model_store.emotion.mobilefacenet_transplant import transplant_expressions, transplant_identity
from model_store.errors import ModelStoreError
from model_store.store import ModelStore
from training.checkpoint import load_checkpoint
from training.errors import CheckpointError

_BACKBONE_SUFFIX = ":backbone"
_IDENTITY_SUFFIX = ".ckpt"
# What an identity network gives to each classifier; the rest is new.
_IDENTITY_PARTS = ("backbone.", "pool.")
_HEADS_PREFIX = "heads."


def initialise_from(network: nn.Module, start: str, *, store: ModelStore) -> list[str]:
    """Take the weights that ``start`` has into a network of the same or a larger architecture.

    Args:
        network: Keeps its own values where ``start`` has none (a branch added since).
        start: A published version (``NAME@VERSION``), a ``.safetensors`` file, or a run's
            checkpoint (``.pt``), of which the weight average is taken. With ``:backbone`` behind
            it, the landmark branch is left there. For a classifier also the ``.ckpt`` of a
            MobileFaceNet that tells identities apart; for a DDAMFN also a published version of a
            MobileFaceNet that tells expressions apart.
        store: Where published versions are looked up.

    Returns:
        Names of the parameters that ``start`` does not have.

    Raises:
        CheckpointError: nothing under that name, or weights of another architecture.
    """
    if start.endswith(_IDENTITY_SUFFIX):
        return _start_from_identity(network, start)
    try:
        if isinstance(network, DDAMFN) and _is_version(start):
            smaller = store.load(start).module
            if isinstance(smaller, MobileFaceNetClassifier):
                transplant_expressions(network, smaller)
                return sorted(k for k in network.state_dict() if k.startswith(_HEADS_PREFIX))
        weights = _load_weights(start, store)
    except (ModelStoreError, SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"--init {start}: {error}") from error
    own = network.state_dict()
    alien = [k for k, v in weights.items() if k not in own or own[k].shape != v.shape]
    if alien:
        first = alien[0]
        here = str(tuple(own[first].shape)) if first in own else "missing"
        raise CheckpointError(
            f"--init {start} holds weights of another architecture: {len(alien)} of "
            f"{len(weights)} do not fit, first {first}, {tuple(weights[first].shape)} there and "
            f"{here} here; start from a version of this network, or give [task.network] the sizes "
            "that the weights were trained with"
        )
    network.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
    return sorted(set(own) - set(weights))


def _is_version(start: str) -> bool:
    return not start.endswith((_BACKBONE_SUFFIX, ".safetensors", ".pt"))


def _load_weights(start: str, store: ModelStore) -> dict[str, Tensor]:
    if start.endswith(_BACKBONE_SUFFIX):
        weights = _load_weights(start.removesuffix(_BACKBONE_SUFFIX), store)
        return {k: v for k, v in weights.items() if not k.startswith(LANDMARK_BRANCH_PREFIXES)}
    if start.endswith(".safetensors"):
        return load_file(start)
    if start.endswith(".pt"):
        return load_checkpoint(Path(start)).ema
    return dict(store.load(start).module.state_dict())


def _start_from_identity(network: nn.Module, start: str) -> list[str]:
    try:
        if isinstance(network, MobileFaceNetClassifier):
            load_identity_backbone(network, Path(start))
        elif isinstance(network, DDAMFN):
            identity = MobileFaceNetClassifier(MobileFaceNetConfig())
            load_identity_backbone(identity, Path(start))
            transplant_identity(network, identity)
        else:
            raise CheckpointError(
                f"--init {start} holds a network that tells faces apart; of ours only classifiers "
                "of expressions can start from it"
            )
    except (OSError, ValueError) as error:
        raise CheckpointError(f"--init {start}: {error}") from error
    return sorted(k for k in network.state_dict() if not k.startswith(_IDENTITY_PARTS))
