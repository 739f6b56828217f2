"""One JSON line per event on standard error: opaque ids and codes, never anything about a person.

Events are named like `order.placed`. What is bound (a prescription, a Prefect run) is on every line below it.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO

import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import EventDict, Processor, WrappedLogger

RUN_ID: ContextVar[str] = ContextVar("run_id", default="")
"""Id of the Prefect run we work in. History rows keep it, so that a row leads to its run."""

QUIET = ("httpx", "httpcore", "uvicorn.access", "boto3", "botocore", "s3transfer", "urllib3")
"""They write a line per request, with its address, or even its body."""

# A net under the rule, not the rule. Long hex texts are digests and keep their digits.
_PERSONAL = re.compile(
    r"(?P<digest>(?=[0-9]*[a-f])[0-9a-f]{32,})"
    r"|(?<![0-9])(?P<resident>[1-9][0-9]{5}(?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])[0-3][0-9]{4}[0-9Xx])(?![0-9])"
    r"|(?<![0-9])(?:86)?(?P<mobile>1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4})(?![0-9])"
)


def mask(text: str) -> str:
    """The text without resident ids (18 characters) and mobile numbers (11 digits)."""
    return _PERSONAL.sub(lambda match: match[0] if match["digest"] else f"<{match.lastgroup}>", text)


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send everything this process logs, ours and the libraries', through one form to standard error.

    May be called again; call it after a library that sets up logging itself (Prefect does).
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A module's logger must follow a later `configure`, so nothing is cached.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                _masked,
                structlog.processors.JSONRenderer(serializer=_line),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        # uvicorn brings its own handlers; its lines belong in ours.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


def get_logger(name: str) -> BoundLogger:
    """The logger of a module: `log = get_logger(__name__)`, then `log.info("order.placed", order=order.id)`."""
    logger: BoundLogger = structlog.stdlib.get_logger(name)
    return logger


@contextmanager
def bind(*, run: str = "", **ids: str) -> Iterator[None]:
    """Put these ids on every line logged inside the `with`; `run` also becomes `current_run()`."""
    token = RUN_ID.set(run) if run else None
    try:
        with structlog.contextvars.bound_contextvars(**ids, **({"run": run} if run else {})):
            yield
    finally:
        if token is not None:
            RUN_ID.reset(token)


def current_run() -> str:
    """Id of the Prefect run we work in, or an empty text outside of one."""
    return RUN_ID.get()


_BREAKS = {code: f"\\u{code:04x}" for code in (0x7F, *range(0x80, 0xA0), 0x2028, 0x2029)}
"""What some programs take for the end of a line, or as a command, and JSON does not escape."""


def _line(event: object, **options: Any) -> str:
    return json.dumps(event, ensure_ascii=False, **options).translate(_BREAKS)


def _masked(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {mask(str(key)): _masked_value(value) for key, value in event.items()}


def _masked_value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        return value if mask(str(value)) == str(value) else mask(str(value))
    if isinstance(value, dict):
        return {mask(str(key)): _masked_value(part) for key, part in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked_value(part) for part in value]
    return mask(value if isinstance(value, str) else repr(value))
