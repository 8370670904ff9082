"""What a run trains."""

from dataclasses import dataclass, field
from typing import Literal

from model_store.architectures import UpscalerConfig
from model_store.landmarks.landmarker import LandmarkerConfig
from training.config.learning import LossConfig


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

    Attributes:
        network: Scale, sizes and switches of the network that ``architecture`` names there
            (affectsrnet, if it is left out).
        landmarker: Reference of the published Landmarker that reads the LR image, where the
            network takes landmarks, and both images where the loss compares landmarks.
        loss: What is minimised.
        landmark_curriculum: Whose landmarks the network is given in the first steps.
        backbone_rate: Learning rate of the backbone, relative to the landmark branch's. After a
            warm start the branch has everything to learn and the backbone little: Adam's steps at
            the branch's rate would first undo what it knows.
    """

    network: UpscalerConfig
    kind: Literal["super_resolution"] = "super_resolution"
    landmarker: str = "landmarker"
    loss: LossConfig = field(default_factory=LossConfig)
    landmark_curriculum: LandmarkCurriculumConfig = field(default_factory=LandmarkCurriculumConfig)
    backbone_rate: float = 1.0


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
