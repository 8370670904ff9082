"""`affectsr upscale --mode photo`: what is wanted of whole photos, and how one is told of."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from service.images import MediaType
from service.photo import PhotoOrder
from service.schemas import PhotoFields


@dataclass(frozen=True, kw_only=True)
class PhotoWishes:
    """What the command line asks of photos; see `PhotoOrder`."""

    mode: Literal["photo", "auto"]
    factor: int
    faces: Literal["all", "largest"]
    strength: float

    def order(
        self,
        data: bytes,
        *,
        scale: int | None,
        model: str | None,
        media_type: MediaType,
        wants_readout: bool,
    ) -> PhotoOrder:
        """What is wanted of one photo's file."""
        return PhotoOrder(
            image=data,
            mode=self.mode,
            factor=self.factor,
            faces=self.faces,
            strength=self.strength,
            scale=scale,
            model=model,
            media_type=media_type,
            wants_readout=wants_readout,
        )


def describe_photo_line(fields: PhotoFields) -> str:
    """What became of a photo and its faces, in one line."""
    counts = Counter(face.action for face in fields.faces)
    models = sorted({face.model for face in fields.faces if face.model is not None})
    parts = [
        f"{fields.input.width}x{fields.input.height} -> "
        f"{fields.output.width}x{fields.output.height}",
        f"{fields.faces_found} faces, {counts['upscaled']} upscaled"
        + (f" by {' and '.join(models)}" if models else ""),
    ]
    if counts["left-alone"]:
        parts.append(f"{counts['left-alone']} left alone")
    return ", ".join([*parts, *fields.notes])
