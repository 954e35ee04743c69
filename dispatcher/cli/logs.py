"""Log lines on standard error: text for people, fields for machines."""

import json
import logging
from datetime import UTC, datetime
from typing import Any

from dispatcher.cli.repeats import FewerRepeats
from dispatcher.cli.text import printable

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "color_message"}


def configure(level: str, style: str) -> None:
    """Send all log lines of this process to standard error; `style` is `text` or `json`."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if style == "json" else TextLines())
    handler.addFilter(FewerRepeats())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("asyncio", "aiokafka"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, logging.getLevelName(level)))


def fields(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`: action, event_id, plugin and others."""
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


class TextLines(logging.Formatter):
    """`12:00:01 WARNING dispatcher.streams: parser failed action=upload`"""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        line = super().formatMessage(record)
        return " ".join([printable(line), *(f"{name}={printable(value)}" for name, value in fields(record).items())])


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **fields(record),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)
