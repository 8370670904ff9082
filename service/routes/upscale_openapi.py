"""What the OpenAPI document says of POST /v1/upscale; its handler reads the raw request itself."""

from typing import Any

from service.routes.receiving import TIMEOUT_PARAMETER
from service.schemas import PhotoResult, Problem, UpscaleBatch, UpscaleResult

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

_MODE = {
    "type": "string",
    "enum": ["face", "photo", "auto"],
    "default": "face",
    "description": "`face`: each image is the crop of a face. `photo`: all faces of one photo are "
    "found, upscaled and laid back into it. `auto`: `face` if a small face fills "
    "the image, or none is found in a small one; else `photo`, and one without a face is enlarged "
    "plainly.",
}
_FACTOR = {
    "type": "integer",
    "enum": [1, 2, 4],
    "default": 2,
    "description": "Photo mode: the result's sides over the photo's.",
}
_FACES = {
    "type": "string",
    "enum": ["all", "largest"],
    "default": "all",
    "description": "Photo mode: which of the faces that are found and in a box are upscaled.",
}
_BOX = {
    "type": "array",
    "maxItems": 64,
    "items": {"type": "string", "examples": ["120,40,200,200"]},
    "description": "Photo mode: x,y,width,height in px of the photo; faces whose middle lies in "
    "none of the boxes are not upscaled.",
}
_MIN_FACE_PX = {
    "type": "number",
    "minimum": 1,
    "maximum": 10000,
    "default": 8,
    "description": "Photo mode: side of the smallest face's crop that is upscaled.",
}
_STRENGTH = {
    "type": "number",
    "minimum": 0,
    "maximum": 1,
    "default": 1,
    "description": "Photo mode: 1 shows the upscaled faces, 0 the enlarged photo.",
}
_PARAMETERS = {
    "mode": _MODE,
    "scale": _SCALE,
    "model": _MODEL,
    "readout": _READOUT,
    "factor": _FACTOR,
    "faces": _FACES,
    "box": _BOX,
    "min_face_px": _MIN_FACE_PX,
    "strength": _STRENGTH,
}

# FastAPI takes these as plain dicts of Any: they are JSON.
REQUEST: dict[str, Any] = {
    "parameters": [
        *(
            {"name": name, "in": "query", "required": False, "schema": schema}
            for name, schema in _PARAMETERS.items()
        ),
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
                        **_PARAMETERS,
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
        "model": UpscaleResult | UpscaleBatch | PhotoResult,
        "headers": {
            "X-AffectSR-Mode": _header("`face` or `photo`; the next three with `photo` only."),
            "X-AffectSR-Faces": _header("Faces that were found in the photo."),
            "X-AffectSR-Faces-Upscaled": _header("Faces that were upscaled."),
            "X-AffectSR-Factor": _header("The result's sides over the photo's."),
            "X-AffectSR-Note": _header("What else there is to know; why `auto` chose `face`."),
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
            404: "The model is not served here, or there is no face detector.",
            406: "The result cannot have the form that Accept names.",
            408: "The body did not arrive in time.",
            413: "Too many bytes or pixels.",
            415: "No JPEG, PNG or WebP.",
            422: "A parameter, or the image's size, is out of bounds; a photo shows no face.",
            429: "The service is full; Retry-After says when to come back.",
            500: "The model failed on this image.",
            503: "The service is starting or stopping, or its device does not answer.",
            504: "The deadline passed.",
        }.items()
    },
}
