"""What the configurations of all baselines have in common."""

from dataclasses import dataclass

from model_store.affectsrnet.config import HR_SIZE_PX, SCALES


@dataclass(frozen=True, kw_only=True)
class BaselineConfig:
    """The scale of a network from LR faces to HR faces of 128 px.

    Raises:
        ValueError: a value is outside what the network can be built with.

    Attributes:
        scale: 4 (32 px -> 128 px) or 8 (16 px -> 128 px).
    """

    scale: int

    def __post_init__(self) -> None:
        if self.scale not in SCALES:
            raise ValueError(f"scale is {self.scale}; it must be one of {SCALES}")

    @property
    def lr_size_px(self) -> int:
        """Side of the LR face that the network is trained on."""
        return HR_SIZE_PX // self.scale

    def _require_at_least_one(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
