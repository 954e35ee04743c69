"""Text from hostile files, made safe for JSON and for a terminal."""

from typing import Any


def clean(text: str, most: int) -> str:
    """At most `most` characters that UTF-8 can carry: lone surrogates are written as escapes."""
    cut = text if len(text) <= most else text[: most - 1] + "…"
    try:
        cut.encode("utf-8")
    except UnicodeEncodeError:
        return cut.encode("utf-8", "backslashreplace").decode("utf-8")
    return cut


def printable(text: str, most: int) -> str:
    """One line that cannot move the cursor or colour a terminal: control characters become escapes."""
    shown = "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text[: most + 1])
    return shown if len(shown) <= most else shown[: most - 1] + "…"


def safe_str(value: Any) -> str:
    """`str(value)` even when the value's own `__str__` raises."""
    try:
        return str(value)
    except BaseException as problem:
        return f"<{type(value).__name__} whose text cannot be shown: its __str__ raised {type(problem).__name__}>"
