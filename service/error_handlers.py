"""The one table from what went wrong to what HTTP says, and the handlers that use it."""

from dataclasses import dataclass
from typing import cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from service import errors
from service.errors import OverloadedError, RateLimitedError, ServiceError, UnauthorizedError
from service.logs import current_request_id
from service.schemas import Problem

PROBLEM_MEDIA_TYPE = "application/problem+json"
_TYPE_PREFIX = "urn:affectsr:problem:"


@dataclass(frozen=True)
class ProblemKind:
    """What is the same for every occurrence of a problem."""

    status: int
    name: str
    title: str
    is_retryable: bool = False


PROBLEMS: dict[type[ServiceError], ProblemKind] = {
    errors.UnauthorizedError: ProblemKind(401, "unauthorized", "A known API key is needed"),
    errors.EmptyBodyError: ProblemKind(400, "empty-body", "The request has no image"),
    errors.MalformedBodyError: ProblemKind(400, "malformed-body", "The body cannot be read"),
    errors.BodyTooLargeError: ProblemKind(413, "body-too-large", "The body is too large"),
    errors.CorruptArchiveError: ProblemKind(
        400, "corrupt-archive", "The archive cannot be unpacked"
    ),
    errors.ArchiveTooLargeError: ProblemKind(
        413, "archive-too-large", "The archive unpacks to too much"
    ),
    errors.AmbiguousNamesError: ProblemKind(
        422, "ambiguous-names", "Two results would have one name"
    ),
    errors.UnsupportedMediaTypeError: ProblemKind(
        415, "unsupported-media-type", "The body is of a type that is not read here"
    ),
    errors.TooManyImagesError: ProblemKind(422, "too-many-images", "Too many images at once"),
    errors.UnknownParameterError: ProblemKind(422, "unknown-parameter", "Unknown parameter"),
    errors.InvalidParameterError: ProblemKind(
        422, "invalid-parameter", "A parameter is out of bounds"
    ),
    errors.ConflictingParametersError: ProblemKind(
        422, "conflicting-parameters", "Parameters contradict each other"
    ),
    errors.UnknownModelError: ProblemKind(404, "unknown-model", "The model is not served here"),
    errors.NoClassifierError: ProblemKind(
        404, "no-classifier", "No expression classifier is loaded here"
    ),
    errors.NoFaceDetectorError: ProblemKind(
        404, "no-face-detector", "No face detector is loaded here"
    ),
    errors.UnpairedImagesError: ProblemKind(
        422, "unpaired-images", "Originals and results are not as many"
    ),
    errors.UnknownSetError: ProblemKind(404, "unknown-set", "There is no such set"),
    errors.OtherClassifierError: ProblemKind(
        409, "other-classifier", "The set belongs to another classifier"
    ),
    errors.IdempotencyKeyReusedError: ProblemKind(
        422, "idempotency-key-reused", "The idempotency key belongs to another request"
    ),
    errors.TooManySetsError: ProblemKind(409, "too-many-sets", "No further set fits"),
    errors.SetFullError: ProblemKind(409, "set-full", "The set is full"),
    errors.NotAcceptableError: ProblemKind(
        406, "not-acceptable", "The reply has no form that is accepted"
    ),
    errors.SlowUploadError: ProblemKind(
        408, "slow-upload", "The body did not arrive in time", is_retryable=True
    ),
    # nginx's number for a client that has gone; nobody reads this answer, the metrics count it.
    errors.ClientGoneError: ProblemKind(499, "client-gone", "The caller has gone", True),
    errors.EmptyImageError: ProblemKind(400, "empty-image", "The image has no bytes"),
    errors.UnsupportedImageFormatError: ProblemKind(
        415, "unsupported-image-format", "The image is no JPEG, PNG or WebP file"
    ),
    errors.AnimatedImageError: ProblemKind(
        415, "animated-image", "The image has more than one frame"
    ),
    errors.CorruptImageError: ProblemKind(400, "corrupt-image", "The image cannot be decoded"),
    errors.ImageTooLargeError: ProblemKind(413, "image-too-large", "The image is too large"),
    errors.ImageTooSmallError: ProblemKind(422, "image-too-small", "The image is too small"),
    errors.ImageTooNarrowError: ProblemKind(
        422, "image-too-narrow", "The image's sides are too different"
    ),
    errors.NoFaceError: ProblemKind(422, "no-face", "An image shows no face"),
    errors.ItemFailedError: ProblemKind(500, "item-failed", "The model failed on this image"),
    errors.OverloadedError: ProblemKind(429, "overloaded", "The service is full", True),
    errors.RateLimitedError: ProblemKind(429, "rate-limited", "Too many requests", True),
    errors.QueueFullError: ProblemKind(503, "queue-full", "The queue is full", True),
    errors.SetsUnavailableError: ProblemKind(
        503, "sets-unavailable", "The running sets cannot be reached", True
    ),
    errors.NotReadyError: ProblemKind(503, "not-ready", "The service is not ready", True),
    errors.DeviceMemoryError: ProblemKind(
        503, "device-memory", "The device's memory is full", is_retryable=True
    ),
    errors.DeviceStalledError: ProblemKind(
        503, "device-stalled", "The device does not answer", is_retryable=True
    ),
    errors.DeviceLostError: ProblemKind(503, "device-lost", "The device failed", True),
    errors.DeadlineExceededError: ProblemKind(
        504, "deadline-exceeded", "The deadline passed", is_retryable=True
    ),
    errors.StartupError: ProblemKind(503, "not-ready", "The service is not ready", True),
    errors.EngineUnavailableError: ProblemKind(503, "not-ready", "The service is not ready", True),
}

_INTERNAL = ProblemKind(500, "internal", "The service failed")
_RETRY_AFTER_UNREADY_SECONDS = 5
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# After these the rest of the body has not been read: the connection is of no further use.
_STATUSES_THAT_CLOSE = frozenset({401, 408, 413})


def describe_problem(error: ServiceError) -> Problem:
    """What a caller is told about an error, for the whole request or for one image of several."""
    kind = PROBLEMS[type(error)]
    return _problem(kind, str(error))


def service_error_response(request: Request, error: ServiceError) -> Response:
    """The answer to an error of ours, with the time to retry where there is one."""
    response = _respond(request, describe_problem(error))
    if isinstance(error, UnauthorizedError):
        # RFC 6750, section 3: an error is named only where a key was given.
        invalid = ', error="invalid_token"' if error.was_key_given else ""
        response.headers["WWW-Authenticate"] = f'Bearer realm="affectsr"{invalid}'
    elif isinstance(error, OverloadedError | RateLimitedError):
        response.headers["Retry-After"] = str(error.retry_after_seconds)
    elif response.status_code == 503:
        response.headers["Retry-After"] = str(_RETRY_AFTER_UNREADY_SECONDS)
    # Of an error that was kept and raised later the traceback holds a frame that holds the error: a
    # cycle, and in it the whole request with its image, until the garbage collector comes by.
    error.__traceback__ = None
    return response


def internal_error_response() -> Response:
    """The answer to an exception that nobody foresaw; what it was stands in the log."""
    return _response(
        _problem(_INTERNAL, "the service failed on this request; the operator's log says why")
    )


def add_error_handlers(app: FastAPI) -> None:
    """Have every error of the application, the framework's included, answered as a problem."""
    app.add_exception_handler(ServiceError, _answer_service_error)
    app.add_exception_handler(HTTPException, _answer_http_exception)
    app.add_exception_handler(RequestValidationError, _answer_validation_error)


async def _answer_service_error(request: Request, error: Exception) -> Response:
    return service_error_response(request, cast("ServiceError", error))


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    """The framework's own refusals: no such path, wrong method."""
    refusal = cast("HTTPException", error)
    match refusal.status_code:
        case 404:
            kind = ProblemKind(404, "not-found", "There is nothing at this path")
            detail = "there is nothing at this path; /docs lists what there is"
        case 405:
            kind = ProblemKind(405, "method-not-allowed", "The path has no such method")
            detail = f"{request.method} is not possible here; see Allow, or /docs"
        case status:
            kind = ProblemKind(status, f"http-{status}", "The request was refused")
            detail = str(refusal.detail)
    response = _respond(request, _problem(kind, detail))
    response.headers.update(refusal.headers or {})
    if refusal.status_code == 405:
        response.headers["Allow"] = ", ".join(_allowed_methods(request))
    return response


def _allowed_methods(request: Request) -> list[str]:
    """What the path takes; the framework names the methods of the first matching route alone."""
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


async def _answer_validation_error(request: Request, error: Exception) -> Response:
    problems = "; ".join(
        f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
        for problem in cast("RequestValidationError", error).errors()
    )
    return service_error_response(request, errors.InvalidParameterError(problems))


def _problem(kind: ProblemKind, detail: str) -> Problem:
    return Problem(
        type=_TYPE_PREFIX + kind.name,
        title=kind.title,
        status=kind.status,
        detail=detail,
        request_id=current_request_id(),
        retryable=kind.is_retryable,
    )


def _respond(request: Request, problem: Problem) -> Response:
    request.state.problem = problem  # for the request's log line and the metrics
    return _response(problem)


def _response(problem: Problem) -> Response:
    response = JSONResponse(
        problem.model_dump(), status_code=problem.status, media_type=PROBLEM_MEDIA_TYPE
    )
    response.headers["Cache-Control"] = "no-store"
    if problem.status in _STATUSES_THAT_CLOSE:
        response.headers["Connection"] = "close"
    return response
