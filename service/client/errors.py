"""What a call can fail by: what the service says (RFC 9457), or that it says nothing."""

from service.schemas import Problem


class ClientError(Exception):
    """A call has failed.

    Attributes:
        is_retryable: whether the very same call may succeed later.
        retry_after_seconds: when to come back, as the service says; None where it does not.
    """

    is_retryable = False
    retry_after_seconds: float | None = None


class UnreachableError(ClientError):
    """No connection, or it broke before the whole reply was there."""

    is_retryable = True


class CallTimeoutError(ClientError):
    """The call's time was over before it had succeeded; `__cause__` is why it failed till then."""


class UnexpectedReplyError(ClientError):
    """The reply is not what the service's interface says; most likely somebody else answers."""


class ProblemError(ClientError):
    """The service refused or failed, and said why; raised as one of the classes below.

    Attributes:
        problem: what it said: value, limit and remedy stand in `problem.detail`.
    """

    def __init__(self, problem: Problem, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(f"{problem.title}: {problem.detail}")
        self.problem = problem
        self.is_retryable = problem.retryable
        self.retry_after_seconds = retry_after_seconds

    @property
    def kind(self) -> str:
        """The problem's stable name, such as "corrupt-image"."""
        return self.problem.type.rpartition(":")[2]


class InvalidRequestError(ProblemError):
    """An image or a parameter cannot be taken: 400, 406, 408, 413, 415, 422."""


class UnauthorizedError(ProblemError):
    """An API key is needed, or another one: 401."""


class NotFoundError(ProblemError):
    """No such model, set or path, or no classifier is loaded: 404."""


class ConflictError(ProblemError):
    """The running set belongs to another classifier, or no more fits: 409."""


class RateLimitedError(ProblemError):
    """The service is full, or the API key has had its requests: 429."""


class UnavailableError(ProblemError):
    """It starts, stops, or has lost what it needs, or the deadline passed there: 503, 504."""


class ServerFailureError(ProblemError):
    """The service failed on this request: 500."""


def error_for(problem: Problem, *, retry_after_seconds: float | None = None) -> ProblemError:
    """The error that a problem is raised as."""
    match problem.status:
        case 401:
            kind: type[ProblemError] = UnauthorizedError
        case 404:
            kind = NotFoundError
        case 409:
            kind = ConflictError
        case 429:
            kind = RateLimitedError
        case 502 | 503 | 504:
            kind = UnavailableError
        case status if status >= 500:
            kind = ServerFailureError
        case _:
            kind = InvalidRequestError
    return kind(problem, retry_after_seconds=retry_after_seconds)
