"""Jars of the broker and of its tools: fetched once by the machine's Maven, from wherever its own settings say."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

VERSION = "4.4.0"
TOOLS_VERSION = "4.3.1"
_BROKER = {"org.apache.kafka:kafka_2.13": VERSION, "org.slf4j:slf4j-simple": "1.7.36"}
_TOOLS = {"org.apache.kafka:kafka-tools": TOOLS_VERSION, "org.slf4j:slf4j-simple": "1.7.36"}
_NEEDED = ("java", "mvn")


class Unavailable(Exception):
    """There can be no Kafka here; the text says why."""


def cache_dir() -> Path:
    """Where jars and brokers started by `make kafka` live, outside the repository."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "azul-dispatcher"


def jars(seconds: float = 300) -> Path:
    """The folder of the broker's jars, fetched if need be. Raises Unavailable."""
    return _folder(f"kafka-{VERSION}", _BROKER, seconds)


def tool_jars(seconds: float = 300) -> Path:
    """The folder of the command line tools' jars, fetched if need be. Raises Unavailable."""
    return _folder(f"kafka-tools-{TOOLS_VERSION}", _TOOLS, seconds)


def _folder(name: str, libraries: Mapping[str, str], seconds: float) -> Path:
    missing = [program for program in _NEEDED if shutil.which(program) is None]
    if missing:
        raise Unavailable(f"{' and '.join(missing)} not found: a broker needs Java 17 and Maven")
    folder = cache_dir() / name
    if not folder.is_dir():
        _fetch(folder, libraries, seconds)
    return folder


def _fetch(folder: Path, libraries: Mapping[str, str], seconds: float) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as work:
        pom = Path(work) / "pom.xml"
        pom.write_text(_pom(libraries))
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


def _pom(libraries: Mapping[str, str]) -> str:
    entries = "".join(
        f"<dependency><groupId>{name.partition(':')[0]}</groupId><artifactId>{name.partition(':')[2]}</artifactId>"
        f"<version>{version}</version></dependency>"
        for name, version in libraries.items()
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>tests</groupId>'
        f"<artifactId>broker</artifactId><version>1</version><dependencies>{entries}</dependencies></project>"
    )
