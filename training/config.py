"""What a training run is: frozen dataclasses read from TOML. An unknown key is an error."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Literal, Union, get_args, get_origin, get_type_hints

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.architectures import UpscalerConfig
from model_store.landmarks.landmarker import LandmarkerConfig
from training.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """Random changes of a face before it is degraded; ranges are half-widths around no change.

    Attributes:
        flip_probability: Share of faces that are mirrored, landmarks with them.
        warp_probability: Share of faces that get a similarity warp.
        max_rotation_degrees: Rotation is drawn from +- this.
        max_scale_change: Scale is drawn from 1 +- this.
        max_shift: Shift on each axis, from +- this share of the side.
        colour_probability: Share of faces that get a gamma and a gain per channel.
        max_gamma_change: Gamma is drawn from 1 +- this.
        max_gain_change: Each channel's gain is drawn from 1 +- this.
        grey_probability: Share of faces that lose their colour.
    """

    flip_probability: float = 0.5
    warp_probability: float = 0.6
    max_rotation_degrees: float = 8.6
    max_scale_change: float = 0.175
    max_shift: float = 0.08
    colour_probability: float = 0.6
    max_gamma_change: float = 0.3
    max_gain_change: float = 0.15
    grey_probability: float = 0.1


@dataclass(frozen=True, kw_only=True)
class DegradationRoundConfig:
    """One of the two rounds of the blind degradation: blur, resize, noise, JPEG.

    Every pair is a range that is drawn from evenly.

    Attributes:
        blur_probability: Share of faces that are blurred by a Gaussian.
        blur_sigma: Its sigma, in pixels of the LR image.
        anisotropic_probability: Share of the blurs with two sigmas and a direction.
        resize_side: Side to resize to, in LR sides; an image never grows beyond the HR side.
        noise_probability: Share of faces that get noise.
        noise_sigma: Its deviation, in levels of 255 (of shot noise: where the image is white).
        shot_noise_probability: Share of the noise that grows with the light, as a sensor's does.
        grey_noise_probability: Share of the noise that is the same in all three channels.
        jpeg_probability: Share of faces that go through JPEG.
        jpeg_quality: Its quality, on libjpeg's scale.
    """

    blur_probability: float
    blur_sigma: tuple[float, float]
    anisotropic_probability: float
    resize_side: tuple[float, float]
    noise_probability: float
    noise_sigma: tuple[float, float]
    shot_noise_probability: float
    grey_noise_probability: float
    jpeg_probability: float
    jpeg_quality: tuple[float, float]

    def __post_init__(self) -> None:
        """Raises ValueError: a range has not two ends, or they are in the wrong order."""
        for name in ("blur_sigma", "resize_side", "noise_sigma", "jpeg_quality"):
            ends = getattr(self, name)
            if len(ends) != 2 or not 0 <= ends[0] <= ends[1]:
                raise ValueError(f"{name} is {list(ends)}; it must be [low, high] with 0 <= low")


# Set so that 200 sharp faces (FFHQ, CelebA) come out about as 40 faces of small videos are. At 32
# px the medians of the Laplacian's deviation over the image's are 0.71 and 0.74 (clean bicubic:
# 0.92), of the same for blue minus luma 0.37 and 0.32 (clean: 0.74).
_FIRST_ROUND = DegradationRoundConfig(
    blur_probability=0.5,
    blur_sigma=(0.05, 0.4),
    anisotropic_probability=0.4,
    resize_side=(1.6, 4.0),
    noise_probability=0.5,
    noise_sigma=(0.5, 6.0),
    shot_noise_probability=0.4,
    grey_noise_probability=0.4,
    jpeg_probability=0.9,
    jpeg_quality=(30.0, 95.0),
)
_SECOND_ROUND = DegradationRoundConfig(
    blur_probability=0.2,
    blur_sigma=(0.1, 0.4),
    anisotropic_probability=0.4,
    resize_side=(1.0, 3.0),
    noise_probability=0.3,
    noise_sigma=(0.5, 2.0),
    shot_noise_probability=0.4,
    grey_noise_probability=0.4,
    jpeg_probability=0.7,
    jpeg_quality=(60.0, 95.0),
)


@dataclass(frozen=True, kw_only=True)
class BlindDegradationConfig:
    """The second-order degradation for real photographs (training/data/blind_degradation.py)."""

    first: DegradationRoundConfig = _FIRST_ROUND
    second: DegradationRoundConfig = _SECOND_ROUND


@dataclass(frozen=True, kw_only=True)
class DegradationConfig:
    """How a low-resolution image is made.

    Attributes:
        kind: "bicubic", the paper's (IV-A), with the damage below on top of it; or "blind", the
            second-order degradation for real photographs, by the section ``blind`` alone.
        blind: Ranges of the second kind.
        blur_probability: Share blurred by a Gaussian before the downsample.
        max_blur_sigma: Largest sigma, in high-resolution pixels per unit of scale.
        noise_probability: Share that gets Gaussian noise.
        max_noise: Largest noise deviation, in [0, 1] units.
        jpeg_probability: Share that goes through JPEG.
        min_jpeg_quality: Worst JPEG quality drawn (best is 95).
    """

    kind: Literal["bicubic", "blind"] = "bicubic"
    blind: BlindDegradationConfig = field(default_factory=BlindDegradationConfig)
    blur_probability: float = 0.0
    max_blur_sigma: float = 0.6
    noise_probability: float = 0.0
    max_noise: float = 0.06
    jpeg_probability: float = 0.0
    min_jpeg_quality: int = 30


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which faces a run learns from.

    Attributes:
        packs: Names of face packs under the pack root.
        sharpness_exponent: Faces are drawn with weight sharpness ** this; 0.5 lets the sharpest
            teach most without leaving the soft ones out.
        max_validation_faces: At most so many faces of the validation slice, drawn evenly.
        resident: Where the faces to learn from lie, as bytes: on the "device", from which a batch
            is a lookup, or mapped from disk on the "host". "auto" takes a GPU with room for them.
    """

    packs: tuple[str, ...]
    sharpness_exponent: float = 0.5
    max_validation_faces: int = 400
    resident: Literal["auto", "device", "host"] = "auto"


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam with warm-up, cosine decay, gradient clipping and a weight average.

    Attributes:
        learning_rate: Peak rate; the paper's range is 1e-3 to 1e-5 (IV-B).
        final_learning_rate: Rate at the last step.
        warmup_steps: Linear rise from zero to the peak.
        betas: Adam's decay rates.
        weight_decay: Decoupled decay; 0 is the paper's Adam.
        max_gradient_norm: Gradients are scaled down to this norm.
        ema_decay: Decay of the exponential moving average of the weights, per step.
    """

    learning_rate: float = 8e-4
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    max_gradient_norm: float = 0.5
    ema_decay: float = 0.999


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The training loss, a weighted sum (III-E, eq. 2); a term of weight 0 costs nothing.

    The defaults are the L1 distance alone. The paper's weights are k1 = 1, k2 = 20, k3 = 50 and
    k4 = 0.1; terms that are not the paper's have no weight there.

    Raises:
        ValueError: a weight is below 0 or not finite, or no term has one.

    Attributes:
        pixel: "l1", the paper's; or "psnr", the mean over faces of ln(MSE), which is what PSNR
            measures and the better end of a training that is judged by it.
        pixel_weight: k1.
        perceptual: "lpips_squeeze", LPIPS by SqueezeNet; "lpips_vgg", LPIPS by VGG16; or "vgg16",
            the squared distance of VGG16's relu1_2, relu2_2 and relu3_3 (Johnson et al. 2016).
        perceptual_weight: k2.
        gram_weight: k3, of the Gram matrices of the same three activations.
        node_weight: k4, of the node embeddings of the landmarks that ``landmarker`` of the task
            finds in both images.
        node_embeddings: What embeds them: "network", the graph network of the network that is
            trained, as it stands; "landmarks", their coordinates themselves; or the graph network
            of a published AffectSRNet, by its reference. Networks without a graph need one of the
            latter two.
        expression_weight: Of the features of ``expression_network``; not in the paper.
        expression_network: Reference of a published network that reads expressions.
        region_weight: Of the L1 distance around eyes, brows and mouth; not in the paper.
    """

    pixel: Literal["l1", "psnr"] = "l1"
    pixel_weight: float = 1.0
    perceptual: Literal["lpips_squeeze", "lpips_vgg", "vgg16"] = "lpips_squeeze"
    perceptual_weight: float = 0.0
    gram_weight: float = 0.0
    node_weight: float = 0.0
    node_embeddings: str = "network"
    expression_weight: float = 0.0
    expression_network: str = ""
    region_weight: float = 0.0

    def __post_init__(self) -> None:
        weights = {f.name: getattr(self, f.name) for f in fields(self) if f.type is float}
        for name, weight in weights.items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"{name} is {weight}; it must be a number of at least 0")
        if self.expression_weight > 0 and not self.expression_network:
            raise ValueError(
                f"expression_weight is {self.expression_weight}, but expression_network names none"
            )
        if not any(weights.values()):
            raise ValueError(f"all weights are 0; one of {', '.join(weights)} must be above")

    @property
    def is_of_pixels(self) -> bool:
        """Whether all terms compare pixels."""
        others = (self.perceptual_weight, self.gram_weight, self.node_weight)
        return not any((*others, self.expression_weight))

    @property
    def needs_lpips(self) -> bool:
        """Whether a term compares by LPIPS."""
        return self.perceptual_weight > 0 and self.perceptual != "vgg16"

    @property
    def needs_vgg16(self) -> bool:
        """Whether a term compares the features of VGG16."""
        is_perceptual = self.perceptual_weight > 0 and self.perceptual == "vgg16"
        return is_perceptual or self.gram_weight > 0


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


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """One training run.

    Attributes:
        name: Name of the run's folder and of the model it publishes.
        max_steps: Length of the schedule; a run stops there at the latest.
        batch_size: Faces per step.
        precision: bfloat16 runs the forward pass under autocast; weights stay float32. "auto"
            takes it where the device computes in it.
        checkpoint_every: Steps between checkpoints.
        validate_every: Steps between validations on the validation slice.
        patience: Stop after so many validations without a new best; 0 never stops early.
        max_skipped_steps: Give up after so many steps in a row with a loss that is not finite.
        seed: Order of the faces, augmentation and initial weights follow from it.
    """

    name: str
    task: SuperResolutionTaskConfig | LandmarkTaskConfig
    data: DataConfig
    max_steps: int
    batch_size: int
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    degradation: DegradationConfig = field(default_factory=DegradationConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    precision: Precision = "auto"
    checkpoint_every: int = 100
    validate_every: int = 100
    patience: int = 10
    max_skipped_steps: int = 20
    seed: int = 0


def load_config(path: Path, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a run's TOML file and apply ``section.key=value`` overrides (values in TOML syntax).

    Raises:
        ConfigError: the file cannot be read, or a key or value is not understood.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot read config {path}: {error}") from error
    for override in overrides:
        _apply_override(document, override)
    return parse_config(document)


def parse_config(document: Mapping[str, object]) -> TrainConfig:
    """Build a TrainConfig from parsed TOML; the inverse of :func:`config_document`.

    Raises:
        ConfigError: an unknown or missing key, or a value of the wrong kind.
    """
    parsed = _build(TrainConfig, _with_moved_keys(document), where="config")
    assert isinstance(parsed, TrainConfig)
    return parsed


def config_document(config: TrainConfig) -> dict[str, object]:
    """Return the configuration as plain values, for checkpoints and manifests."""
    document = asdict(config)
    if isinstance(config.task, SuperResolutionTaskConfig):
        document["task"]["network"]["architecture"] = config.task.network.architecture
    return document


def _apply_override(document: dict[str, object], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    try:
        value: object = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, name = key.strip().split(".")
    node = document
    for section in sections:
        child = node.setdefault(section, {})
        if not isinstance(child, dict):
            raise ConfigError(f"override {override!r}: {section} is no section")
        node = child
    node[name] = value


def _with_moved_keys(document: Mapping[str, object]) -> Mapping[str, object]:
    """Move task.pixel_loss, which was the only term once, to where terms are now."""
    task = document.get("task")
    if not isinstance(task, Mapping) or "pixel_loss" not in task or "loss" in task:
        return document
    rest = {key: value for key, value in task.items() if key != "pixel_loss"}
    return {**document, "task": {**rest, "loss": {"pixel": task["pixel_loss"]}}}


def _build(cls: type, document: object, *, where: str) -> object:
    if not isinstance(document, Mapping):
        raise ConfigError(f"{where} is {document!r}; it must be a section")
    known = {f.name: f for f in fields(cls)}
    unknown = sorted(set(document) - set(known))
    if unknown:
        raise ConfigError(f"{where}: unknown key {', '.join(unknown)}; known: {', '.join(known)}")
    missing = [
        name
        for name, f in known.items()
        if name not in document and f.default is MISSING and f.default_factory is MISSING
    ]
    if missing:
        raise ConfigError(f"{where}: missing key {', '.join(missing)}")
    hints = get_type_hints(cls)
    values = {
        name: _convert(hints[name], value, where=f"{where}.{name}")
        for name, value in document.items()
    }
    try:
        built: object = cls(**values)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return built


def _convert(hint: object, value: object, *, where: str) -> object:
    origin = get_origin(hint)
    if origin in (Union, UnionType):
        return _build_one_of(get_args(hint), value, where=where)
    if isinstance(hint, type) and is_dataclass(hint):
        return _build(hint, value, where=where)
    if origin is Literal:
        if value not in get_args(hint):
            raise ConfigError(f"{where} is {value!r}; it must be one of {get_args(hint)}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{where} is {value!r}; it must be a list")
        inner = get_args(hint)[0]
        return tuple(_convert(inner, item, where=where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(hint, type) or type(value) is not hint:
        expected = getattr(hint, "__name__", str(hint))
        raise ConfigError(f"{where} is {value!r}; it must be a {expected}")
    return value


def _build_one_of(classes: Sequence[type], section: object, *, where: str) -> object:
    """Build the class that a section names: a task by its kind, a network by its architecture."""
    if not isinstance(section, Mapping):
        raise ConfigError(f"{where} is {section!r}; it must be a section")
    is_network = AffectSRNetConfig in classes
    key = "architecture" if is_network else "kind"
    known = {getattr(cls, key): cls for cls in classes}
    # Configurations from before there were baselines name no architecture.
    name = section.get(key, AffectSRNetConfig.architecture if is_network else None)
    if name not in known:
        raise ConfigError(f"{where}.{key} is {name!r}; it must be one of {', '.join(known)}")
    values = {k: v for k, v in section.items() if k != key}
    return _build(known[name], values, where=where)
