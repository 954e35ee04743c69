"""Wildcards: `*` any text, `?` one character, `\\` takes the next character as it is."""

import re
from typing import Final

_PIECE: Final = re.compile(r"\\(.)|(\*)|(\?)|([^\\*?])", re.DOTALL)


def has_wildcard(pattern: str) -> bool:
    return any(found[2] or found[3] for found in _PIECE.finditer(pattern))


def unescaped(pattern: str) -> str:
    """The text that a pattern without wildcards stands for."""
    return re.sub(r"\\(.)", r"\1", pattern, flags=re.DOTALL)


class Glob:
    """Matches a whole text. Each stretch between stars is looked for once, leftmost first, which is enough
    for stars and never goes back: no pattern takes exponential time."""

    def __init__(self, pattern: str) -> None:
        stretches: list[list[str]] = [[]]
        for escaped, star, one, plain in _PIECE.findall(pattern):
            if star:
                stretches.append([])
            else:
                stretches[-1].append("." if one else re.escape(escaped or plain))
        compiled = [re.compile("".join(stretch), re.DOTALL) for stretch in stretches]
        self._first, self._middle, self._last = compiled[0], compiled[1:-1], compiled[-1]
        self._starred = len(compiled) > 1
        self._tail = len(stretches[-1])
        self._weight = max((len(stretch) for stretch in stretches if "." in stretch), default=1)

    def cost(self, text: str) -> int:
        """Steps that matching this text may take; a stretch with `?` is compared anew at every position."""
        return len(text) * self._weight // 1024

    def matches(self, text: str) -> bool:
        if not self._starred:
            return self._first.fullmatch(text) is not None
        found = self._first.match(text)
        for stretch in self._middle:
            if found is None:
                return False
            found = stretch.search(text, found.end())
        start = len(text) - self._tail
        return found is not None and start >= found.end() and self._last.fullmatch(text, start) is not None
