"""Makes an index of hashes out of lists. Runs as a process of its own, at low priority: sorting millions of hashes in
the server would keep its other work waiting.

It reads one line of JSON, {"files": [...], "folder": ..., "target": ..., "note": ...}, from its standard input, writes
one to its standard output, {"count": n} or {"error": ..., "file": ..., "line": n}, and ends when its input is closed.
"""

import json
import os
import re
import sys
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO, Final

from allow_list_index import DIGEST, write

READ_BYTES: Final = 65 * 66 * 256
"""About a megabyte; whole lines, in a list of nothing but hashes."""
AT_ONCE: Final = 400_000
"""Hashes that are sorted in memory, 40 MB."""
BUCKETS: Final = 64
LONGEST_LINE: Final = 1 << 16
PREFIX: Final = "building-"
_LINE: Final = re.compile(rb"""[\\"']?([0-9a-fA-F]{64})(?:["'\s,;|*].*)?""", re.DOTALL)
_TITLE: Final = re.compile(rb"""["']?sha[-_ ]?256\b""", re.IGNORECASE)


class BadList(Exception):
    """What is wrong with a list of hashes, and where."""

    def __init__(self, file: str, line: int, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}")
        self.file = file
        self.line = line
        self.problem = problem


def build(files: Sequence[str], folder: Path, target: Path, note: str) -> int:
    """Put the hashes of all files into an index at `target`, in one step at the end; gives how many there are.
    `folder` is for temporary files, on the same disk. Raises BadList, OSError."""
    with ExitStack() as stack:
        buckets = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in range(BUCKETS)]
        for batch in _batches(digests(name) for name in files):
            _spread(batch, buckets)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=PREFIX, delete=False) as made:
            try:
                count = write(made, note.encode(), map(_sorted, buckets))  # type: ignore[arg-type]
                made.flush()
                os.fsync(made.fileno())
                os.replace(made.name, target)
            except BaseException:
                os.unlink(made.name)
                raise
    return count


def digests(name: str) -> Iterator[list[bytes]]:
    """The hashes of one file, some at a time. Raises BadList, OSError."""
    with open(name, "rb") as file:
        number, rest = 0, b""
        while piece := file.read(READ_BYTES):
            lines, newline, rest = (rest + piece).rpartition(b"\n")
            if len(rest) > LONGEST_LINE:
                raise BadList(name, number + lines.count(b"\n") + bool(newline) + 1, "the line is too long")
            if newline:
                yield _plain(lines + newline) or list(_each(name, number, lines))
                number += lines.count(b"\n") + 1
        if rest:
            yield list(_each(name, number, rest))


def _plain(lines: bytes) -> list[bytes]:
    """Nothing but hashes, one a line, all at once; empty when there is anything else."""
    for ending in (b"\n", b"\r\n"):
        step = 2 * DIGEST + len(ending)
        count, odd = divmod(len(lines), step)
        if odd or any(lines[2 * DIGEST + n :: step] != ending[n : n + 1] * count for n in range(len(ending))):
            continue
        try:
            raw = bytes.fromhex(lines.decode("ascii"))
        except ValueError:
            return []
        if len(raw) == count * DIGEST:  # it skips spaces
            return [raw[place : place + DIGEST] for place in range(0, len(raw), DIGEST)]
    return []


def _each(name: str, number: int, lines: bytes) -> Iterator[bytes]:
    for line in lines.split(b"\n"):
        number += 1
        text = line.strip()
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf")
        if not text or text.startswith(b"#") or (number == 1 and _TITLE.match(text)):
            continue
        found = _LINE.fullmatch(text)
        if not found:
            start = text[:80].decode("ascii", "backslashreplace")
            raise BadList(name, number, f"{start!r} does not begin with a sha256 in hex")
        yield bytes.fromhex(found[1].decode())


def _batches(lists: Iterable[Iterator[list[bytes]]]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    for pieces in lists:
        for piece in pieces:
            batch += piece
            if len(batch) >= AT_ONCE:
                yield batch
                batch = []
    yield batch


def _spread(batch: list[bytes], buckets: Sequence[BinaryIO]) -> None:
    batch.sort()
    start = 0
    for number, bucket in enumerate(buckets):
        border = bytes(((number + 1) * 256 // BUCKETS,)) if number + 1 < BUCKETS else None
        end = len(batch) if border is None else bisect_left(batch, border, start)
        bucket.write(b"".join(batch[start:end]))
        start = end


def _sorted(bucket: BinaryIO) -> list[bytes]:
    """Runs that are sorted already: quickly done."""
    bucket.seek(0)
    raw = bucket.read()
    ordered = [raw[place : place + DIGEST] for place in range(0, len(raw), DIGEST)]
    ordered.sort()
    return list(dict.fromkeys(ordered))


def main() -> None:
    os.nice(10)
    wanted = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        said: dict[str, object] = {
            "count": build(wanted["files"], Path(wanted["folder"]), Path(wanted["target"]), wanted["note"])
        }
    except BadList as bad:
        said = {"error": bad.problem, "file": bad.file, "line": bad.line}
    except OSError as problem:
        said = {"error": problem.strerror or str(problem), "file": str(problem.filename or wanted["folder"]), "line": 0}
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()
    os._exit(0)  # past the thread that waits for its input


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(1)


if __name__ == "__main__":
    main()
