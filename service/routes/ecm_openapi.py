"""What the OpenAPI document says of the ECM endpoints; POST /v1/ecm reads the raw request."""

from typing import Any

from model_store.emotion.classifier import EMOTIONS
from service.routes.ecm_request import (
    IDEMPOTENCY_HEADER,
    IDEMPOTENCY_KEY_PATTERN,
    ORIGINAL_PART,
    SET_NAME_PATTERN,
    SET_PARAMETER,
    SUPER_RESOLVED_PART,
)
from service.routes.receiving import TIMEOUT_PARAMETER
from service.schemas import Problem

_FILES = {
    "type": "array",
    "items": {"type": "string", "format": "binary"},
    "minItems": 1,
}

# FastAPI takes these as plain dicts of Any: they are JSON.
REQUEST: dict[str, Any] = {
    "parameters": [
        {
            "name": SET_PARAMETER,
            "in": "query",
            "required": False,
            "schema": {"type": "string", "pattern": f"^{SET_NAME_PATTERN}$"},
            "description": "Running set that the pairs are added to; it begins with its first.",
            "examples": {"nightly": {"value": "nightly-2024-05-01"}},
        },
        {
            "name": IDEMPOTENCY_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY_PATTERN}$"},
            "description": "Name of this addition: sent again with the same images it adds "
            "nothing. A set remembers the last 1,000.",
        },
        TIMEOUT_PARAMETER,
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [ORIGINAL_PART, SUPER_RESOLVED_PART],
                    "properties": {ORIGINAL_PART: _FILES, SUPER_RESOLVED_PART: _FILES},
                    "additionalProperties": False,
                }
            }
        },
    },
}


_ECM = {"value": 73.31784, "l_h": 150.0, "l_conf": 0.18597, "n": 2, "degenerate": False}


def _by_expression(*values: float) -> dict[str, float]:
    return dict(zip(EMOTIONS, values, strict=True))


def _reading(expression: str, entropy: float, *probabilities: float) -> dict[str, object]:
    return {
        "expression": expression,
        "probabilities": _by_expression(*probabilities),
        "entropy": entropy,
        "landmarks": "landmarker",
        "landmark_confidence": 0.999,
    }


EXAMPLE: dict[str, Any] = {
    "request_id": "0c4b7e5a1f6d4f0e9f0f3f8a5d8b2c11",
    "classifier": {"name": "emotion-mobilefacenet", "version": "1", "sha256": "9f86d081..."},
    "ecm": _ECM,
    "interval": {"low": 35.81784, "high": 161.35726, "method": "bootstrap"},
    "pairs": [
        {
            "index": 0,
            "original": _reading("happy", 0.36906, 0.02, 0.93, 0.01, 0.02, 0.005, 0.005, 0.01),
            "super_resolved": _reading(
                "happy", 0.68800, 0.11, 0.82, 0.02, 0.03, 0.005, 0.005, 0.01
            ),
            "entropy_difference": 0.31894,
            "jensen_shannon": 0.02023,
            "top1_agrees": True,
            "probability_shift": _by_expression(0.09, -0.11, 0.01, 0.01, 0.0, 0.0, 0.0),
            "landmark_distance": 0.021,
        },
        {
            "index": 1,
            "original": _reading("neutral", 1.16086, 0.62, 0.03, 0.21, 0.01, 0.03, 0.02, 0.08),
            "super_resolved": _reading(
                "neutral", 1.21386, 0.55, 0.02, 0.29, 0.02, 0.03, 0.02, 0.07
            ),
            "entropy_difference": 0.05300,
            "jensen_shannon": 0.00578,
            "top1_agrees": True,
            "probability_shift": _by_expression(-0.07, -0.01, 0.08, 0.01, 0.0, 0.0, -0.01),
            "landmark_distance": 0.034,
        },
    ],
    "set": {"name": "nightly", "replayed": False, "ecm": _ECM},
}


def _problems(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    return {
        status: {"model": Problem, "description": description}
        for status, description in descriptions.items()
    }


_ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Both readings and the measures of each pair, and the metric of them all.",
        "content": {"application/json": {"example": EXAMPLE}},
    }
}

RESPONSES = _ANSWER | _problems(
    {
        400: "No image, or one that cannot be decoded.",
        404: "No expression classifier is loaded.",
        408: "The body did not arrive in time.",
        409: "The set was read by another classifier, or nothing more fits.",
        413: "Too many bytes or pixels.",
        415: "No form, or no JPEG, PNG or WebP in it.",
        422: "Unequal counts, an image without a face, or a parameter out of bounds.",
        429: "The service is full; Retry-After says when to come back.",
        500: "The classifier failed on an image.",
        503: "The service is starting or stopping, or the sets cannot be reached.",
        504: "The deadline passed.",
    }
)

SET_RESPONSES = _problems(
    {
        404: "There is no such set.",
        422: "No set can have the name.",
        503: "The service is starting or stopping, or the sets cannot be reached.",
    }
)
