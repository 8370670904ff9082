"""What the OpenAPI document tells beyond what the framework finds in the routes by itself.

Every path can fail in ways that its handler does not know of, and bounds come from the settings.
"""

from collections.abc import Iterator
from typing import Any

from service.authentication import describe_keys
from service.error_handlers import PROBLEM_MEDIA_TYPE
from service.routes.receiving import MULTIPART, TIMEOUT_HEADER
from service.settings import Settings

_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_INTERNAL = {
    "description": "The service failed; the operator's log says why.",
    "content": {PROBLEM_MEDIA_TYPE: {"schema": _PROBLEM}},
}
_RETRY_AFTER = {
    "description": "Whole seconds until the request may succeed.",
    "required": True,
    "schema": {"type": "integer", "minimum": 1},
}
_STATUSES_TO_RETRY = frozenset({"429", "503"})


def complete_document(document: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """FastAPI's document, changed in place: problems, API keys where they are in use, bounds."""
    if settings.api_keys_file is not None:
        describe_keys(document)
    for operation in _operations(document):
        responses = operation["responses"]
        responses.setdefault("500", _INTERNAL)
        for status, response in responses.items():
            _describe_response(status, response)
        operation["responses"] = dict(sorted(responses.items()))
        _describe_bounds(operation, settings)
    return document


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for operations in document["paths"].values():
        yield from operations.values()


def _describe_response(status: str, response: dict[str, Any]) -> None:
    content = response.get("content", {})
    if int(status) >= 400 and "application/json" in content:
        content[PROBLEM_MEDIA_TYPE] = content.pop("application/json")
    if status in _STATUSES_TO_RETRY:
        response["headers"] = {"Retry-After": _RETRY_AFTER}


def _describe_bounds(operation: dict[str, Any], settings: Settings) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["name"] == TIMEOUT_HEADER:
            parameter["schema"]["maximum"] = settings.max_request_timeout_ms
    forms = operation.get("requestBody", {}).get("content", {})
    properties = forms.get(MULTIPART, {}).get("schema", {}).get("properties", {})
    parts = [schema for schema in properties.values() if schema["type"] == "array"]
    for part in parts:
        # The files of all parts count together; of pairs there are as many on both sides.
        part["maxItems"] = settings.max_images_per_request // len(parts)
