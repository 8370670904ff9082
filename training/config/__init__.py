"""What a training run is: frozen dataclasses read from TOML. An unknown key is an error."""

from training.config.faces import (
    AugmentationConfig,
    BlindDegradationConfig,
    DataConfig,
    DegradationConfig,
    DegradationRoundConfig,
    ExpressionDataConfig,
)
from training.config.learning import DistillationConfig, LossConfig, OptimizerConfig
from training.config.reading import config_document, load_config, parse_config, parse_section
from training.config.run import Precision, PublishConfig, TrainConfig
from training.config.tasks import (
    ExpressionTaskConfig,
    LandmarkCurriculumConfig,
    LandmarkTaskConfig,
    SuperResolutionTaskConfig,
)

__all__ = [
    "AugmentationConfig",
    "BlindDegradationConfig",
    "DataConfig",
    "DegradationConfig",
    "DegradationRoundConfig",
    "DistillationConfig",
    "ExpressionDataConfig",
    "ExpressionTaskConfig",
    "LandmarkCurriculumConfig",
    "LandmarkTaskConfig",
    "LossConfig",
    "OptimizerConfig",
    "Precision",
    "PublishConfig",
    "SuperResolutionTaskConfig",
    "TrainConfig",
    "config_document",
    "load_config",
    "parse_config",
    "parse_section",
]
