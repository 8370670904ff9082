"""A small configuration of every baseline, so that each builds and runs in milliseconds."""

from collections.abc import Mapping

from model_store.architectures import Upscaler, UpscalerConfig, upscaler_from
from model_store.baselines.dic import DICConfig
from model_store.baselines.edsr import EDSRConfig
from model_store.baselines.fsrnet import FSRNetConfig
from model_store.baselines.sparnet import SPARNetConfig
from model_store.baselines.srcnn import SRCNNConfig


def tiny_configs(scale: int) -> Mapping[str, UpscalerConfig]:
    """Return the configurations by architecture."""
    configs: tuple[UpscalerConfig, ...] = (
        SRCNNConfig(scale=scale, num_features=(6, 4), kernel_sizes=(5, 1, 3)),
        EDSRConfig(scale=scale, num_blocks=2, num_features=8),
        FSRNetConfig(
            scale=scale,
            num_features=4,
            num_coarse_blocks=1,
            num_encoder_blocks=1,
            num_decoder_blocks=1,
            prior_features=4,
            num_hourglasses=1,
            hourglass_depth=2,
        ),
        DICConfig(
            scale=scale,
            num_steps=3,
            num_features=4,
            num_groups=2,
            num_fusion_blocks=1,
            hourglass_features=8,
        ),
        SPARNetConfig(
            scale=scale, min_features=4, max_features=8, attention_features=4, num_body_units=1
        ),
    )
    return {config.architecture: config for config in configs}


BASELINES = tuple(tiny_configs(8))


def tiny_baseline(architecture: str, *, scale: int) -> Upscaler:
    """Build one of them in eval mode."""
    return upscaler_from(tiny_configs(scale)[architecture]).eval()
