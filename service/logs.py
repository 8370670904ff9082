"""Log lines: JSON for machines, text for a terminal, the request's id in each.

No line holds a pixel, a file name or a query string.
"""

import json
import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

request_id_of_context: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that the running code works for; set by the request middleware."""

# Names of our own `extra=` fields; anything else on a record is the logging package's.
_EXTRA_FIELDS = ("method", "route", "status", "duration_ms", "problem", "detail")


class _JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        extra = "".join(f" {name}={value}" for name, value in _extra(record).items())
        line = f"{time} {record.levelname.lower()} {record.getMessage()}{extra}"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _extra(record: logging.LogRecord) -> dict[str, object]:
    found = {name: getattr(record, name) for name in _EXTRA_FIELDS if hasattr(record, name)}
    request_id = request_id_of_context.get()
    return {"request_id": request_id, **found} if request_id else found


def configure_logging(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Send every logger's lines to standard error in one form; called once, by the command line."""
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextFormatter() if as_text else _JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    # What uvicorn tells at "info" about its own start and end our own lines say better; Pillow's
    # debug lines hold bytes of the images.
    logging.getLogger("uvicorn.error").setLevel(max(logging.WARNING, logging.root.level))
    logging.getLogger("PIL").setLevel(logging.WARNING)
