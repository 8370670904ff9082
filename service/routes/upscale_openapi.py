"""What the OpenAPI document says of POST /v1/upscale; its handler reads the raw request itself."""

from typing import Any

from service.routes.receiving import TIMEOUT_PARAMETER
from service.schemas import Problem, UpscaleBatch, UpscaleResult

_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
_BINARY = {"type": "string", "format": "binary"}
_SCALE = {
    "type": "integer",
    "enum": [4, 8],
    "description": "Chosen from the image's size if neither it nor the model is given: a longer "
    "side of at most 22 px means 8.",
}
_MODEL = {
    "type": "string",
    "description": "Name, or name@version, of one of /v1/models.",
    "examples": ["affectsrnet-x4"],
}

_READOUT = {
    "type": "string",
    "enum": ["expression", "none"],
    "description": "Whether the expressions of result and input are read, which costs time.",
}

# FastAPI takes these as plain dicts of Any: they are JSON.
REQUEST: dict[str, Any] = {
    "parameters": [
        {"name": "scale", "in": "query", "required": False, "schema": _SCALE},
        {"name": "model", "in": "query", "required": False, "schema": _MODEL},
        {"name": "readout", "in": "query", "required": False, "schema": _READOUT},
        TIMEOUT_PARAMETER,
        {
            "name": "Cache-Control",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "`no-store` or `no-cache`: nothing is looked up or kept.",
            "examples": {"past the cache": {"value": "no-store"}},
        },
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        "image": {"type": "array", "items": _BINARY, "minItems": 1},
                        "scale": _SCALE,
                        "model": _MODEL,
                        "readout": _READOUT,
                    },
                    "additionalProperties": False,
                }
            },
            **{media_type: {"schema": _BINARY} for media_type in _IMAGE_TYPES},
            "application/zip": {"schema": _BINARY},
        },
    },
}


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The upscaled image, or a result or problem for each of several.",
        "model": UpscaleResult | UpscaleBatch,
        "headers": {
            "X-AffectSR-Model": _header("Model version, `name@version`."),
            "X-AffectSR-Scale": _header("4 or 8."),
            "X-AffectSR-Landmarks": _header(
                "Who found the landmarks; `fallback`: the mean face stood in."
            ),
            "X-AffectSR-Landmark-Confidence": _header("0 to 1."),
            "X-AffectSR-Resampled": _header("`40x48 -> 32x32`, or `no`."),
            "X-AffectSR-Alpha": _header("`none`, `kept`, or `on-white` in a JPEG."),
            "X-AffectSR-Readout": _header(
                "`expression`, `none` (not asked for), `no-classifier` or `failed`; the headers "
                "below are there with `expression` only."
            ),
            "X-AffectSR-Classifier": _header("Version that read the expressions."),
            "X-AffectSR-Expression": _header("Likeliest expression of the result."),
            "X-AffectSR-Expression-Probability": _header("0 to 1."),
            "X-AffectSR-Expression-Landmarks": _header("`landmarker` or `fallback`."),
            "X-AffectSR-Input-Expression": _header(
                "Likeliest expression of what the network was given, enlarged by bicubic."
            ),
            "X-AffectSR-Input-Expression-Probability": _header("0 to 1."),
            "X-AffectSR-Input-Expression-Landmarks": _header("`landmarker` or `fallback`."),
            "X-AffectSR-Expression-Agrees": _header("`yes` or `no`."),
            "X-AffectSR-Expression-Recoverable": _header(
                "`yes` or `no`: whether the result's expression is to be believed. Not there where "
                "no calibration fits model and classifier."
            ),
            "X-AffectSR-Expression-Recoverable-Probability": _header("0 to 1; `yes` from 0.8."),
            "X-AffectSR-Cache": _header(
                "Where the service keeps results: `hit`, kept from before; `shared`, made by work "
                "that another request had begun; `miss`; `bypass`, as Cache-Control asked; "
                "`mixed`, of several images."
            ),
            "X-Request-ID": _header("The request's own id, or one made for it."),
            "Server-Timing": _header("Milliseconds by stage."),
        },
        "content": {
            **{media_type: {"schema": _BINARY} for media_type in _IMAGE_TYPES},
            "application/zip": {"schema": _BINARY},
        },
    },
    **{
        status: {"model": Problem, "description": description}
        for status, description in {
            400: "No image, or one (or an archive) that cannot be decoded.",
            404: "The model is not served here.",
            406: "The result cannot have the form that Accept names.",
            408: "The body did not arrive in time.",
            413: "Too many bytes or pixels.",
            415: "No JPEG, PNG or WebP.",
            422: "A parameter, or the image's size, is out of bounds.",
            429: "The service is full; Retry-After says when to come back.",
            500: "The model failed on this image.",
            503: "The service is starting or stopping, or its device does not answer.",
            504: "The deadline passed.",
        }.items()
    },
}
