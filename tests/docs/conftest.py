"""Reads the documentation as a reader does: block by block, in the order of the page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(
    r"(?:<!-- test: (?P<note>[^\n]*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE
)


class Block(NamedTuple):
    language: str
    code: str
    stays: bool = False
    """A command for a terminal of its own: it does not end by itself."""
    shows: str = ""
    """Must be in what the command prints."""
    until: str = ""
    """Will be in what it prints sooner or later: a reader would look again."""


@pytest.fixture(scope="session")
def blocks() -> Callable[[str], list[Block]]:
    """All code blocks of a page, named from the top of the checkout."""

    def read(page: str) -> list[Block]:
        return [_block(match) for match in _BLOCK.finditer((ROOT / page).read_text())]

    return read


def _block(match: re.Match[str]) -> Block:
    block = Block(match["language"], match["code"])
    word, _, text = (match["note"] or "").partition(" ")
    if not word:
        return block
    return block._replace(**{word: text or True})
