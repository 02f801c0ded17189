"""What the daemon writes to standard error, and what it keeps out of it.

Every record, ours and the libraries', passes one handler: it dates it (UTC), turns it into plain
values, redacts them and writes a line: JSON for machines, columns for a person at a terminal.
Libraries speak from warnings upwards only; proxmoxer and urllib3 would log requests with their
bodies below that. Logging never raises: whatever goes wrong in it becomes a line that says so.
"""

import logging
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, TextIO, TypeAlias

import structlog
from structlog.typing import EventDict, Processor

from chainwatch.config import LogConfig
from chainwatch.credentials import CONFIDENTIAL, REDACTED, redact

Plain: TypeAlias = "str | int | float | list[Plain] | dict[str, Plain] | None"

_OURS: Final = ("chainwatch", "provisioner", "__main__")
_FIRST: Final = ("timestamp", "level", "event", "logger")
_DEEPEST: Final = 6
_SECRET_NAME: Final = re.compile(rf"(?i){CONFIDENTIAL}(?!.*_file$)")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure(config: LogConfig, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to `stream` (standard error by default)."""
    stream = stream or sys.stderr
    handler = _Handler(stream)
    handler.addFilter(_worth_writing)
    handler.setFormatter(_formatter(config, stream))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    sys.excepthook = _last_words
    threading.excepthook = _last_words_of_thread


class _Handler(logging.StreamHandler[TextIO]):
    """Writes records; one that cannot be written is replaced by a line that says so."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 (logging's name)
        with suppress(OSError, ValueError):  # the stream may be gone: then there is nobody to tell
            self.stream.write(
                f'{{"level": "error", "event": "unloggable", "at": "{record.name}"}}\n'
            )
            self.flush()


def _worth_writing(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or record.name.partition(".")[0] in _OURS


def _formatter(config: LogConfig, stream: TextIO) -> logging.Formatter:
    for_people = config.format == "console" or (config.format == "auto" and stream.isatty())
    renderer: Processor = structlog.processors.JSONRenderer(ensure_ascii=True)
    if for_people:
        renderer = structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[structlog.stdlib.ExtraAdder()],
        processors=[
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _redacted,
            renderer,
        ],
    )


# --------------------------------------------------------------------------------------- redaction


def _redacted(logger: object, method: str, event: EventDict) -> EventDict:
    """Turn an event into plain values in which no secret is left (a structlog processor)."""
    del logger, method
    trace = event.pop("exception", None)
    first = {name: event.pop(name, None) for name in _FIRST}
    plain: EventDict = {**_plain_mapping({**first, **event}, _DEEPEST)}
    if trace is not None:
        plain["exception"] = "\n".join(map(_text, redact(str(trace)).splitlines()))
    return plain


def _plain(value: object, depth: int) -> Plain:
    """Return `value` as something that can be written; known shapes keep their structure."""
    if value is None or isinstance(value, bool | int | float):
        return value if len(repr(value)) < 80 else _text(repr(value))
    if depth and isinstance(value, Mapping):
        return _plain_mapping(value, depth)
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, depth - 1) for item in value]
    return _text(value if isinstance(value, str) else repr(value))


def _plain_mapping(value: Mapping[str, object], depth: int) -> dict[str, Plain]:
    return {
        _text(str(name)): REDACTED if _SECRET_NAME.search(str(name)) else _plain(item, depth - 1)
        for name, item in value.items()
    }


def _text(text: str) -> str:
    """Redact, and make visible what would let a guest or a contract forge lines of its own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), redact(text))


# --------------------------------------------------------------------------------------- last words


def _last_words(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    logging.getLogger(__name__).critical("died", exc_info=(kind, error, trace))


def _last_words_of_thread(died: threading.ExceptHookArgs) -> None:
    if died.exc_value is not None:
        _last_words(died.exc_type, died.exc_value, died.exc_traceback)
