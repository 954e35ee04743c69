"""How much a list costs: python measure_allow_list.py [MILLIONS]. Figures are in the README."""

import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import allow_list_build
import psutil
from allow_list_index import HashSet

MEGABYTE = 1 << 20


def main() -> None:
    millions = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        samples = make_list(folder / "list.txt", int(millions * 1_000_000))
        build(folder)
        look_up(folder / "index", samples)


def make_list(path: Path, count: int) -> list[bytes]:
    samples = []
    with path.open("w") as file:
        while count > 0:
            raw = os.urandom(32 * min(count, 10_000))
            digests = [raw[place : place + 32] for place in range(0, len(raw), 32)]
            file.writelines(f"{digest.hex()}\n" for digest in digests)
            samples.append(digests[0])
            count -= len(digests)
    return samples


def build(folder: Path) -> None:
    code = "import sys, pathlib, allow_list_build as b; f = pathlib.Path(sys.argv[1])\n"
    code += "b.build([str(f / 'list.txt')], f, f / 'index', '{}')"
    here = str(Path(allow_list_build.__file__).parent)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, env={**os.environ, "PYTHONPATH": here})
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    say("build, seconds", time.perf_counter() - began)
    say("build, seconds of CPU", used.ru_utime + used.ru_stime)
    say("build, MiB of memory at most", used.ru_maxrss * 1024 / MEGABYTE)


def look_up(path: Path, samples: list[bytes]) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    began = time.perf_counter()
    known = HashSet(path)
    say("open, seconds", time.perf_counter() - began)
    say("hashes, millions", len(known) / 1_000_000)
    if not all(sample in known for sample in samples):
        raise SystemExit("a hash is missing")
    random_digests = [random.randbytes(32) for _ in range(200_000)]
    began = time.perf_counter()
    hits = sum(digest in known for digest in random_digests)
    say("one look-up, microseconds", (time.perf_counter() - began) / len(random_digests) * 1_000_000)
    known._map.find(b"no such bytes" * 9)  # touch every page
    say("memory when every page was used, MiB more", (process.memory_info().rss - before) / MEGABYTE)
    if hits:
        raise SystemExit("a hash too much")


def say(what: str, figure: float) -> None:
    sys.stdout.write(f"{what:45}{figure:12.2f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
