"""A folder of real files: the interpreter's library, its binaries, and archives of both, some inside others."""

import hashlib
import shutil
import sysconfig
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

_LEFT_OUT = frozenset(("__pycache__", "site-packages", "dist-packages", "test", "tests", "idlelib", "lib2to3"))
_MOST_BYTES = 120_000
_IN_ARCHIVES = 40


@dataclass
class Samples:
    """`folder` holds `sha256s`; `members` lists what each archive holds, by sha256, archives inside archives too."""

    folder: Path
    sha256s: set[str] = field(default_factory=set)
    members: dict[str, list[str]] = field(default_factory=dict)


def make(folder: Path, modules: int = 300, binaries: int = 20) -> Samples:
    """`modules` Python files and `binaries` shared objects of different contents, and six archives of others."""
    library = Path(sysconfig.get_path("stdlib"))
    modules_found = list(islice(_different(sorted(library.rglob("*.py"))), modules + _IN_ARCHIVES))
    binaries_found = list(islice(_different(sorted(library.glob("lib-dynload/*.so"))), binaries))
    assert len(modules_found) == modules + _IN_ARCHIVES, "this Python came without its library"
    samples = Samples(folder)
    for path in modules_found[_IN_ARCHIVES:] + binaries_found:
        target = folder / path.relative_to(library)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _make_archives(samples, modules_found[:_IN_ARCHIVES], binaries_found[:3])
    samples.sha256s = {sha256_of(path) for path in folder.rglob("*") if path.is_file()}
    return samples


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _different(paths: Iterable[Path]) -> Iterable[Path]:
    seen = set()
    for path in paths:
        if _LEFT_OUT.intersection(path.parts) or not 0 < path.stat().st_size <= _MOST_BYTES:
            continue
        if (sha256 := sha256_of(path)) not in seen:
            seen.add(sha256)
            yield path


def _make_archives(samples: Samples, modules: list[Path], binaries: list[Path]) -> None:
    """Three flat ones, one that holds an archive, and one that holds an archive that holds an archive."""
    inside = samples.folder.with_name(f"{samples.folder.name}-inside")
    inside.mkdir()
    for number in range(3):
        _archive(samples, samples.folder / f"flat-{number}.zip", [*modules[5 * number : 5 * number + 5], *binaries])
    small = _archive(samples, inside / "small.zip", modules[15:20])
    smaller = _archive(samples, inside / "smaller.zip", modules[20:25])
    middle = _archive(samples, inside / "middle.zip", [*modules[25:30], smaller])
    _archive(samples, samples.folder / "nested.zip", [*modules[30:35], small])
    _archive(samples, samples.folder / "deep.zip", [*modules[35:40], middle])
    _archive(samples, samples.folder / "copies.zip", [*modules[:3], small])


def _archive(samples: Samples, path: Path, members: list[Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in members:
            archive.write(member, member.name if member.suffix == ".zip" else "-".join(member.parts[-2:]))
    samples.members[sha256_of(path)] = [sha256_of(member) for member in members]
    return path
