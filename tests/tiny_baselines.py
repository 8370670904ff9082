"""A small configuration of every baseline, so that each builds and runs in milliseconds."""

from collections.abc import Mapping

from model_store.architectures import Upscaler, UpscalerConfig, upscaler_from
from model_store.baselines.edsr import EDSRConfig
from model_store.baselines.srcnn import SRCNNConfig


def tiny_configs(scale: int) -> Mapping[str, UpscalerConfig]:
    """Return the configurations by architecture."""
    configs: tuple[UpscalerConfig, ...] = (
        SRCNNConfig(scale=scale, num_features=(6, 4), kernel_sizes=(5, 1, 3)),
        EDSRConfig(scale=scale, num_blocks=2, num_features=8),
    )
    return {config.architecture: config for config in configs}


BASELINES = tuple(tiny_configs(8))


def tiny_baseline(architecture: str, *, scale: int) -> Upscaler:
    """Build one of them in eval mode."""
    return upscaler_from(tiny_configs(scale)[architecture]).eval()
