"""What a run trains."""

from dataclasses import dataclass, field
from typing import Literal

from model_store.architectures import SingleClassifierConfig, UpscalerConfig, needs_landmarks
from model_store.emotion.classifier import CROP_PX
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from model_store.landmarks.landmarker import LandmarkerConfig
from training.config.learning import DistillationConfig, LossConfig


@dataclass(frozen=True, kw_only=True)
class LandmarkCurriculumConfig:
    """Landmarks of the original first, those of the LR image later; not in the paper.

    A network that never saw good landmarks has no reason to trust any. At test time they always
    come from the LR image.

    Raises:
        ValueError: a value is below 0.

    Attributes:
        teacher_steps: Steps over which the share of faces with the teacher's landmarks falls
            from all to none; 0 leaves the curriculum out.
        noise: Deviation of the Gaussian noise on the teacher's landmarks, in crop units (0.01 is
            1.3 px of 128), so that they are about as uncertain as those that follow.
    """

    teacher_steps: int = 0
    noise: float = 0.01

    def __post_init__(self) -> None:
        for name in ("teacher_steps", "noise"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 0")


@dataclass(frozen=True, kw_only=True)
class SuperResolutionTaskConfig:
    """Train an AffectSRNet or one of the baselines.

    Raises:
        ValueError: a landmark curriculum for a network that takes no landmarks.

    Attributes:
        network: Scale, sizes and switches of the network that ``architecture`` names there
            (affectsrnet, if it is left out).
        landmarker: Reference of the published Landmarker that reads the LR image, where the
            network or its teacher takes landmarks, and both images where the loss compares
            landmarks.
        loss: What is minimised.
        distillation: What a larger network adds to that.
        landmark_curriculum: Whose landmarks the network is given in the first steps.
        backbone_rate: Learning rate of the backbone, relative to the landmark branch's. After a
            warm start the branch has everything to learn and the backbone little: Adam's steps at
            the branch's rate would first undo what it knows.
    """

    network: UpscalerConfig
    kind: Literal["super_resolution"] = "super_resolution"
    landmarker: str = "landmarker"
    loss: LossConfig = field(default_factory=LossConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    landmark_curriculum: LandmarkCurriculumConfig = field(default_factory=LandmarkCurriculumConfig)
    backbone_rate: float = 1.0

    def __post_init__(self) -> None:
        if self.landmark_curriculum.teacher_steps > 0 and not needs_landmarks(self.network):
            raise ValueError(
                f"landmark_curriculum.teacher_steps is {self.landmark_curriculum.teacher_steps}, "
                f"but this {self.network.architecture} takes no landmarks; set it to 0, or "
                "network.landmark_fusion = true for an affectsrnet"
            )


@dataclass(frozen=True, kw_only=True)
class LandmarkTaskConfig:
    """Train a Landmarker on the teacher landmarks of the packs.

    Attributes:
        network: Sizes of the network.
        lr_sides_px: Sides that faces are downsampled to, in turn.
        non_face_probability: Share of a batch that is made faceless, for the confidence.
        face_model_draws: Warped training faces from which the linear face model is fitted.
    """

    network: LandmarkerConfig = field(default_factory=LandmarkerConfig)
    kind: Literal["landmarks"] = "landmarks"
    lr_sides_px: tuple[int, ...] = (16, 32)
    non_face_probability: float = 0.1
    face_model_draws: int = 24_000


@dataclass(frozen=True, kw_only=True)
class ExpressionTaskConfig:
    """Train a classifier of expressions on labelled faces.

    Raises:
        ValueError: a share is not in [0, 1], the sides are no range, or a network without heads
            is to keep them apart.

    Attributes:
        network: Sizes of the network that ``architecture`` names there.
        label_smoothing: Share of the target that is spread evenly over all classes.
        backbone_rate: Learning rate of the convolutions (``backbone``), relative to that of what
            is behind them.
        diversity_weight: Of the term that keeps DDAMFN's attention heads apart (its authors take
            0.1); other networks have no heads.
        low_resolution_probability: Share of faces that are reduced and enlarged again.
        low_resolution_sides_px: Smallest and largest side to reduce to; small ones are drawn as
            often as large ones, by their logarithm.
        erasing_probability: Share of faces in which a rectangle is painted over.
        erased_share: Smallest and largest area of the rectangle, of the crop's.
    """

    network: SingleClassifierConfig
    kind: Literal["expression"] = "expression"
    label_smoothing: float = 0.1
    backbone_rate: float = 1.0
    diversity_weight: float = 0.0
    low_resolution_probability: float = 0.4
    low_resolution_sides_px: tuple[int, ...] = (16, 100)
    erasing_probability: float = 0.25
    erased_share: tuple[float, ...] = (0.02, 0.2)

    def __post_init__(self) -> None:
        heads = self.network.num_heads if isinstance(self.network, DDAMFNConfig) else 0
        if not (self.diversity_weight == 0 or (self.diversity_weight > 0 and heads > 1)):
            raise ValueError(
                f"diversity_weight is {self.diversity_weight} for {heads} attention heads; it must "
                "be at least 0, and 0 for fewer than two heads"
            )
        for name in ("label_smoothing", "low_resolution_probability", "erasing_probability"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be from 0 to 1")
        for name, least, most in (
            ("low_resolution_sides_px", 1, CROP_PX),
            ("erased_share", 0, 1),
        ):
            ends = getattr(self, name)
            if len(ends) != 2 or not least <= ends[0] <= ends[1] <= most:
                raise ValueError(
                    f"{name} is {list(ends)}; it must be [low, high] within {least} and {most}"
                )
