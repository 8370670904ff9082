"""Which served model a request means: by name, by scale, or by the size of its image."""

from collections.abc import Sequence

from service.engine.base import ServedModel
from service.errors import (
    ConflictingParametersError,
    InvalidParameterError,
    UnknownModelError,
)

# Between the grids' sides, 16 px (x8) and 32 px (x4), in equal ratio to both: up to here x8 loses
# less by resampling than x4 would have to make up.
_LONGEST_SIDE_FOR_X8_PX = 22


class ModelCatalogue:
    """The models in memory, in the order of the settings; the first of a kind is its default."""

    def __init__(self, models: Sequence[ServedModel]) -> None:
        self.models = tuple(models)

    def find(self, name: str) -> ServedModel:
        """Find the model that "name" or "name@version" means.

        Raises:
            UnknownModelError: it is not served.
        """
        for model in self.models:
            if name in (model.name, model.reference):
                return model
        served = ", ".join(model.reference for model in self.models)
        raise UnknownModelError(f"model {name!r} is not served here; served: {served}")

    def requested(self, *, name: str | None, scale: int | None) -> ServedModel | None:
        """Find the model that a request's parameters mean; None where they leave it open.

        Raises:
            UnknownModelError: no model of that name is served.
            InvalidParameterError: no model of that scale is served.
            ConflictingParametersError: the model has another scale.
        """
        if name is not None:
            model = self.find(name)
            if scale not in (None, model.scale):
                raise ConflictingParametersError(
                    f"scale is {scale} and model {model.reference} upscales by {model.scale}; "
                    "leave one of the two out"
                )
            return model
        if scale is None:
            return None
        for model in self.models:
            if model.scale == scale:
                return model
        scales = " or ".join(str(scale) for scale in sorted({m.scale for m in self.models}))
        raise InvalidParameterError(f"scale is {scale}; it must be {scales}")

    def for_size(self, width: int, height: int) -> ServedModel:
        """Choose by an image's longer side where the request leaves the model open."""
        wanted = 8 if max(width, height) <= _LONGEST_SIDE_FOR_X8_PX else 4
        return next((m for m in self.models if m.scale == wanted), self.models[0])
