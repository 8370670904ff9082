"""Log lines: JSON for machines, text for a terminal, the request's id and trace in each.

Code logs by the standard library's loggers; structlog renders what they and other packages' loggers
tell, and carries what belongs to a request. No line holds a pixel, a file name or a query string:
of what a record carries besides its message only the fields named here are written.
"""

import logging
import re
import sys
from contextlib import AbstractContextManager
from typing import Literal

import structlog
from structlog.typing import Processor

# Names of our own `extra=` fields; anything else on a record is the logging package's.
_EXTRA_FIELDS = ("method", "route", "status", "duration_ms", "problem", "detail")

# W3C Trace Context, level 1: version, trace, parent, flags. All zeros mean none.
_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}")


def request_context(request_id: str, *, traceparent: str) -> AbstractContextManager[None]:
    """Have every line of the block carry the request's id, and the trace if the header is one."""
    found = _TRACEPARENT.fullmatch(traceparent)
    trace = {} if found is None else {"trace_id": found[1], "parent_id": found[2]}
    return structlog.contextvars.bound_contextvars(request_id=request_id, **trace)


def current_request_id() -> str:
    """Id of the request that the running code works for; empty outside of one."""
    request_id = structlog.contextvars.get_contextvars().get("request_id", "")
    return str(request_id)


def configure_logging(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Send every logger's lines to standard error in one form; called once, by the command line."""
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(text_formatter() if as_text else json_formatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # What uvicorn tells at "info" about its own start and end our own lines say better; Pillow's
    # debug lines hold bytes of the images.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.root.level))
    logging.getLogger("PIL").setLevel(logging.WARNING)
    # A form that cannot be read is its sender's affair, who is told; these lines quote its bytes.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def json_formatter() -> logging.Formatter:
    """One JSON object a line."""
    return _formatter(
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        structlog.processors.JSONRenderer(),
    )


def text_formatter() -> logging.Formatter:
    """A line for reading, without colours; a traceback below it."""
    return _formatter(
        structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False, key="time"),
        structlog.processors.format_exc_info,
        structlog.processors.EventRenamer("message"),
        _as_text,
    )


def _formatter(*processors: Processor) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ExtraAdder(allow=_EXTRA_FIELDS),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
        ],
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *processors],
    )


def _as_text(logger: object, method: str, event: structlog.typing.EventDict) -> str:
    exception = event.pop("exception", None)
    del event["logger"]
    line = f"{event.pop('time')} {event.pop('level')} {event.pop('message')}"
    line += "".join(f" {name}={value}" for name, value in event.items())
    return line if exception is None else f"{line}\n{exception}"
