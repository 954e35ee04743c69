"""Words for people."""


def count(number: int, thing: str) -> str:
    """`1 file`, `3 files`."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"


def printable(text: object) -> str:
    """One line that a terminal only shows: names come from hostile archives and clients."""
    line = str(text)
    return line if line.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in line)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode()
