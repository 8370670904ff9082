"""Which faces a run learns from, how they are changed, and how their LR images are made."""

from dataclasses import dataclass, field
from typing import Literal


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

    @property
    def is_plain(self) -> bool:
        """Whether LR images are the paper's: bicubic, and nothing else done to them."""
        shares = (self.blur_probability, self.noise_probability, self.jpeg_probability)
        return self.kind == "bicubic" and not any(shares)


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which faces with landmarks a run learns from.

    Attributes:
        packs: Names of face packs under the pack root.
        sharpness_exponent: Faces are drawn with weight sharpness ** this; 0.5 lets the sharpest
            teach most without leaving the soft ones out.
        max_validation_faces: At most so many faces of the validation slice, drawn evenly.
        min_validation_sharpness: Softer faces are left out of validation (of its share of training
            faces too). A soft face asks for less than the sharp ones that a network is for, and
            weights that serve both best serve neither.
        resident: Where the faces to learn from lie, as bytes: on the "device", from which a batch
            is a lookup, or mapped from disk on the "host". "auto" takes a GPU with room for them.
    """

    packs: tuple[str, ...]
    kind: Literal["faces"] = "faces"
    sharpness_exponent: float = 0.5
    max_validation_faces: int = 400
    min_validation_sharpness: float = 0.0
    resident: Literal["auto", "device", "host"] = "auto"


@dataclass(frozen=True, kw_only=True)
class ExpressionDataConfig:
    """Which faces with expression labels a run learns from.

    Raises:
        ValueError: the exponent is below 0, or no validation face is asked for.

    Attributes:
        packs: Names of expression packs under the pack root.
        class_exponent: A face is drawn with the weight (faces of its class) ** -this: 0 draws all
            faces alike, 1 all classes; 0.5 lies between, so that the 258 fearful faces of RAF-DB
            are seen more often than the 4,390 happy ones without being learnt by heart.
        max_validation_faces: At most so many faces of the validation slice, drawn evenly.
    """

    packs: tuple[str, ...]
    kind: Literal["expressions"] = "expressions"
    class_exponent: float = 0.5
    max_validation_faces: int = 1000

    def __post_init__(self) -> None:
        if self.class_exponent < 0:
            raise ValueError(f"class_exponent is {self.class_exponent}; it must be at least 0")
        if self.max_validation_faces < 1:
            raise ValueError(
                f"max_validation_faces is {self.max_validation_faces}; it must be at least 1"
            )
