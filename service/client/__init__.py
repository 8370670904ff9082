"""A client of the HTTP service: `Client`, and `AsyncClient` for coroutines.

It imports nothing of the server but the schemas of its replies, and no torch. errors.py is what can
go wrong, calls.py what is sent and what comes of the reply, retrying.py when to try again;
sync_client.py and async_client.py put them on httpx.
"""

from service.client.async_client import AsyncClient
from service.client.calls import ImageInput, PhotoOptions, UpscaledImage, UpscaledPhoto
from service.client.errors import (
    CallTimeoutError,
    ClientError,
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    ProblemError,
    RateLimitedError,
    ServerFailureError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedReplyError,
    UnreachableError,
)
from service.client.retrying import RetryPolicy
from service.client.sync_client import Client

__all__ = [
    "AsyncClient",
    "CallTimeoutError",
    "Client",
    "ClientError",
    "ConflictError",
    "ImageInput",
    "InvalidRequestError",
    "NotFoundError",
    "PhotoOptions",
    "ProblemError",
    "RateLimitedError",
    "RetryPolicy",
    "ServerFailureError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedReplyError",
    "UnreachableError",
    "UpscaledImage",
    "UpscaledPhoto",
]
