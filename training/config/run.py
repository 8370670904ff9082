"""One training run as a whole."""

from dataclasses import dataclass, field
from typing import Literal

from training.config.faces import (
    AugmentationConfig,
    DataConfig,
    DegradationConfig,
    ExpressionDataConfig,
)
from training.config.learning import OptimizerConfig
from training.config.tasks import (
    ExpressionTaskConfig,
    LandmarkTaskConfig,
    SuperResolutionTaskConfig,
)

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class PublishConfig:
    """What a run's weights must reach before they are published, as the mean of the test packs.

    Attributes:
        minimum_psnr_gain_db: PSNR of an upscaling network over bicubic (protocol sfmnet).
        maximum_nme: Landmark error of a Landmarker at 16 and at 32 px. The mean face alone is
            0.14 to 0.25 off on aligned test sets.
        minimum_accuracy: Of a classifier of expressions. This and the two that follow are asked of
            the first test pack alone, on its crops as they are: labels of different sets are not
            equally sure.
        minimum_mean_class_accuracy: The same, every expression counting alike.
        maximum_calibration_error: Expected calibration error of its probabilities.
    """

    minimum_psnr_gain_db: float = 0.0
    maximum_nme: float = 0.06
    minimum_accuracy: float = 0.8
    minimum_mean_class_accuracy: float = 0.7
    maximum_calibration_error: float = 0.05


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Raises:
        ValueError: the data are of another kind than the task learns from, or there is a
            degradation for a task that makes no LR images.

    Attributes:
        name: Name of the run's folder and of the model it publishes.
        max_steps: Length of the schedule; a run stops there at the latest.
        batch_size: Faces per step.
        precision: bfloat16 runs the forward pass under autocast; weights stay float32. "auto"
            takes it where it is the faster one on the device.
        checkpoint_every: Steps between checkpoints.
        validate_every: Steps between validations on the validation slice.
        patience: Stop after so many validations without a new best; 0 never stops early.
        max_skipped_steps: Give up after so many steps in a row with a loss that is not finite.
        seed: Order of the faces, augmentation and initial weights follow from it.
        publish: What ``publish`` asks of the result.
    """

    name: str
    task: SuperResolutionTaskConfig | LandmarkTaskConfig | ExpressionTaskConfig
    data: DataConfig | ExpressionDataConfig
    max_steps: int
    batch_size: int
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    publish: PublishConfig = field(default_factory=PublishConfig)
    precision: Precision = "auto"
    checkpoint_every: int = 100
    validate_every: int = 100
    patience: int = 10
    max_skipped_steps: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        is_of_expressions = isinstance(self.task, ExpressionTaskConfig)
        if is_of_expressions != isinstance(self.data, ExpressionDataConfig):
            wanted = "expressions" if is_of_expressions else "faces"
            raise ValueError(
                f'data.kind is "{self.data.kind}"; the task "{self.task.kind}" learns from '
                f'"{wanted}"'
            )
        if is_of_expressions and self.degradation != DegradationConfig():
            raise ValueError(
                'the task "expression" has no degradation; task.low_resolution_probability and '
                "task.low_resolution_sides_px say how faces are reduced"
            )
