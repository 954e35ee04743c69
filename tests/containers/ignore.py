""".dockerignore: which files of the checkout Docker gets to see."""

import re
from pathlib import Path


class Ignored:
    """`path in ignored`, for paths relative to the checkout. The last pattern that matches decides."""

    def __init__(self, file: Path) -> None:
        lines = [line.strip() for line in file.read_text().splitlines()]
        patterns = [line for line in lines if line and not line.startswith("#")]
        self._rules = [(not line.startswith("!"), _pattern(line.lstrip("!"))) for line in patterns]

    def __contains__(self, path: str) -> bool:
        parts = path.split("/")
        places = ["/".join(parts[:n]) for n in range(1, len(parts) + 1)]
        hits = [ignores for ignores, pattern in self._rules if any(map(pattern.fullmatch, places))]
        return bool(hits) and hits[-1]


def _pattern(text: str) -> re.Pattern[str]:
    """`**/` is any number of folders, `*` a part of one name."""
    escaped = re.escape(text)
    return re.compile(escaped.replace(r"\*\*/", "(.*/)?").replace(r"\*", "[^/]*"))
