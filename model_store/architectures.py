"""The networks that a manifest can name, by architecture."""

from collections.abc import Mapping
from dataclasses import asdict

from torch import nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig


def build_network(architecture: str, config: Mapping[str, object]) -> nn.Module:
    """Build an untrained network from what a manifest says of it.

    Raises:
        ValueError: an unknown architecture, or a configuration that it does not accept.
    """
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items()}
    try:
        match architecture:
            case "affectsrnet":
                return AffectSRNet(AffectSRNetConfig(**values))  # type: ignore[arg-type]
            case "landmarker":
                return Landmarker(LandmarkerConfig(**values))  # type: ignore[arg-type]
    except TypeError as error:
        raise ValueError(f"configuration of {architecture}: {error}") from error
    raise ValueError(f"architecture is {architecture!r}; known: affectsrnet, landmarker")


def network_config(network: nn.Module) -> tuple[str, dict[str, object]]:
    """Return the architecture's name and the configuration that builds this network again.

    Raises:
        ValueError: the network is of no published architecture.
    """
    match network:
        case AffectSRNet():
            return "affectsrnet", asdict(network.config)
        case Landmarker():
            return "landmarker", asdict(network.config)
    raise ValueError(f"{type(network).__name__} is no architecture that can be published")
