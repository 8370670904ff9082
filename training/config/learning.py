"""What a run minimises, and how."""

import math
from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam with warm-up, cosine decay, gradient clipping and a weight average.

    Raises:
        ValueError: the radius is below 0 or not finite.

    Attributes:
        learning_rate: Peak rate; the paper's range is 1e-3 to 1e-5 (IV-B).
        final_learning_rate: Rate at the last step.
        warmup_steps: Linear rise from zero to the peak.
        betas: Adam's decay rates.
        weight_decay: Decoupled decay; 0 is the paper's Adam.
        max_gradient_norm: Gradients are scaled down to this norm.
        ema_decay: Decay of the exponential moving average of the weights, per step.
        sam_radius: How far up its gradient the loss is differentiated (sharpness-aware
            minimisation; training/loop/sharpness.py); 0 leaves it out. It doubles a step's cost.
    """

    learning_rate: float = 8e-4
    final_learning_rate: float = 1e-5
    warmup_steps: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    max_gradient_norm: float = 0.5
    ema_decay: float = 0.999
    sam_radius: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sam_radius < math.inf:
            raise ValueError(f"sam_radius is {self.sam_radius}; it must be a number of at least 0")


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
        expression_weight: Of the features of ``expression_network``, which sees both faces aligned
            by the original's landmarks; not in the paper.
        expression_network: Reference of a published expression classifier.
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
class DistillationConfig:
    """Learning from a published network beside the originals; not in the paper.

    Raises:
        ValueError: the weight is not above 0 or not finite.

    Attributes:
        teacher: Reference of a published network of the same scale; empty does without.
        weight: Of the L1 distance between the two networks' images, beside the terms of the loss.
    """

    teacher: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.weight < math.inf:
            raise ValueError(f"weight is {self.weight}; it must be a number above 0")
