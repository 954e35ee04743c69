"""The broker's jars: fetched once by the machine's Maven, from wherever its own settings say."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

VERSION = "4.4.0"
_LIBRARIES = {"org.apache.kafka:kafka_2.13": VERSION, "org.slf4j:slf4j-simple": "1.7.36"}
_NEEDED = ("java", "mvn")


class Unavailable(Exception):
    """There can be no Kafka here; the text says why."""


def cache_dir() -> Path:
    """Where jars and brokers started by `make kafka` live, outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azul-dispatcher"


def jars(seconds: float = 300) -> Path:
    """The folder of all jars, fetched if need be. Raises Unavailable."""
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} not found: a broker needs Java 17 and Maven")
    folder = cache_dir() / f"kafka-{VERSION}"
    if not folder.is_dir():
        _fetch(folder, seconds)
    return folder


def _fetch(folder: Path, seconds: float) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        pom = Path(work) / "pom.xml"
        pom.write_text(_pom())
        command = ["mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies", f"-DoutputDirectory={work}/jars"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise Unavailable(f"Maven did not fetch the broker within {seconds:g} s") from None
        except subprocess.CalledProcessError as error:
            raise Unavailable(f"Maven could not fetch the broker: {error.stdout.strip()[-500:]}") from None
        try:
            (Path(work) / "jars").rename(folder)
        except OSError:
            if not folder.is_dir():  # another run was faster
                raise


def _pom() -> str:
    entries = "".join(
        f"<dependency><groupId>{name.partition(':')[0]}</groupId><artifactId>{name.partition(':')[2]}</artifactId>"
        f"<version>{version}</version></dependency>"
        for name, version in _LIBRARIES.items()
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>tests</groupId>'
        f"<artifactId>broker</artifactId><version>1</version><dependencies>{entries}</dependencies></project>"
    )
