import json
import logging
import sys

import pytest

from dispatcher.cli.logs import JsonLines, TextLines


def record(message: str, **fields: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "dispatcher.x", "levelname": "INFO", "msg": message, **fields})


def test_text_lines_end_with_the_fields() -> None:
    assert (
        TextLines()
        .format(record("done", action="upload", plugin="a"))
        .endswith("INFO dispatcher.x: done action=upload plugin=a")
    )


def test_a_name_that_a_client_chose_cannot_forge_a_line() -> None:
    line = TextLines().format(record("plugin\nroot: hacked", plugin="x\r\n12:00 ERROR \x1b[31m"))
    assert line.splitlines() == [line]
    assert "\x1b" not in line
    assert len(JsonLines().format(record("a\nb", plugin="c\r\nd")).splitlines()) == 1


def test_json_lines_hold_fields_and_traceback() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        entry = json.loads(JsonLines().format(record("done", event_id="7", exc_info=sys.exc_info(), odd=object)))
    assert (entry["message"], entry["level"], entry["event_id"]) == ("done", "INFO", "7")
    assert "ValueError: broken" in entry["traceback"]


@pytest.mark.parametrize("style", [TextLines(), JsonLines()])
def test_plain_lines_have_no_extra_fields(style: logging.Formatter) -> None:
    line = style.format(record("done"))
    assert "args" not in line
    assert "thread" not in line
