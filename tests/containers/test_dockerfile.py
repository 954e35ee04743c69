"""The Dockerfile against the checkout, the settings and a running server; no Docker is needed."""

import asyncio
import os
import re
import subprocess
import sys
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from dispatcher.cli.main import main
from dispatcher.settings import load
from dispatcher.testing import LocalDispatcher
from tests.containers.compose import ROOT
from tests.containers.dockerfile import Dockerfile
from tests.containers.ignore import Ignored

TARGETS = ("dispatcher", "plugin")
TRACKED = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()


def project(folder: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    return found


def copied(dockerfile: Dockerfile) -> set[str]:
    """Names at the top of the checkout that COPY takes."""
    copies = [copy for stage in dockerfile.stages.values() for copy in stage.own if copy.name == "COPY"]
    return {name for copy in copies if "from" not in copy.flags for name in copy.words[:-1]}


def pip_arguments(dockerfile: Dockerfile, stage: str) -> list[str]:
    commands = [run.words for run in dockerfile.stages[stage].own if run.name == "RUN"]
    [install] = [words[words.index("install") + 1 :] for words in commands if "pip" in words]
    return install


def test_what_is_copied_is_in_the_checkout_and_not_ignored(dockerfile: Dockerfile) -> None:
    ignored = Ignored(ROOT / ".dockerignore")
    for name in copied(dockerfile):
        files = [file for file in TRACKED if file == name or file.startswith(f"{name}/")]
        assert files, f"{name} is no part of the repository"
        assert not [file for file in files if file in ignored]


def test_nothing_else_is_sent_to_docker(dockerfile: Dockerfile) -> None:
    ignored = Ignored(ROOT / ".dockerignore")
    assert {entry.name for entry in ROOT.iterdir() if entry.name not in ignored} == copied(dockerfile)
    for rubbish in (
        "sdk/azul_dispatcher_sdk.egg-info/PKG-INFO",
        "dispatcher/api/__pycache__/app.pyc",
        "sdk/build/x.py",
    ):
        assert rubbish in ignored


def test_stages_are_taken_from_earlier_ones(dockerfile: Dockerfile) -> None:
    names = list(dockerfile.stages)
    for place, stage in enumerate(dockerfile.stages.values()):
        origins = [copy.flags["from"] for copy in stage.own if copy.name == "COPY" and "from" in copy.flags]
        assert set(origins) <= set(names[:place])
    assert names[-1] == "dispatcher", "what `docker build .` gives"


def test_the_base_is_pinned_and_new_enough(dockerfile: Dockerfile) -> None:
    [image] = dockerfile.images
    version = re.fullmatch(r"python:(3\.\d+)-slim-\w+", image)
    assert version, f"{image} names no version"
    requirements = [project(".")["requires-python"], project("sdk")["requires-python"]]
    assert all(SpecifierSet(requirement).contains(version[1]) for requirement in requirements)
    environ = dockerfile.environment("dispatcher")
    for name in ("LD_LIBRARY_PATH", "MAGIC"):
        assert environ[name].startswith(f"/opt/azul/lib/python{version[1]}/site-packages/libmagic/")


def test_the_whole_dispatcher_is_installed(dockerfile: Dockerfile) -> None:
    own, *others = [argument for argument in pip_arguments(dockerfile, "build-dispatcher") if argument != "./sdk"]
    assert Requirement(f"azul-dispatcher{own.removeprefix('.')}").extras == {"tlsh"}
    assert others == ["libmagic-wheel"]


def test_every_version_is_pinned(dockerfile: Dockerfile) -> None:
    pins = {canonicalize_name(line.partition("==")[0]) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    wanted = ["libmagic-wheel", "setuptools", *project(".")["optional-dependencies"]["tlsh"]]
    wanted += project(".")["dependencies"] + project("sdk")["dependencies"]
    names = {canonicalize_name(Requirement(text).name) for text in wanted} - {"azul-dispatcher-sdk"}
    assert names <= pins
    for stage in ("build-dispatcher", "build-plugin"):
        environ = dockerfile.environment(stage)
        assert environ["PIP_CONSTRAINT"] == environ["PIP_BUILD_CONSTRAINT"] == "/src/constraints.txt"


@pytest.mark.parametrize("target", TARGETS)
def test_nobody_is_root(dockerfile: Dockerfile, target: str) -> None:
    own = [instruction.name for instruction in dockerfile.stages[target].own]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", dockerfile.last(target, "USER").value)
    assert not {"RUN", "COPY"} & set(own[own.index("USER") :])


@pytest.mark.parametrize("target", TARGETS)
def test_signals_reach_the_program(dockerfile: Dockerfile, target: str) -> None:
    entry = dockerfile.last(target, "ENTRYPOINT")
    assert entry.is_exec
    assert entry.words[0] in project("." if target == "dispatcher" else "sdk")["scripts"]


def test_the_server_is_what_runs(dockerfile: Dockerfile) -> None:
    assert dockerfile.last("dispatcher", "CMD").is_exec
    assert dockerfile.last("dispatcher", "CMD").words[0] in main.commands


def test_the_settings_of_the_image(dockerfile: Dockerfile) -> None:
    loaded = load(dockerfile.environment("dispatcher"))
    assert loaded.warnings == ()
    assert loaded.settings.host == "0.0.0.0"
    assert [int(port) for port in dockerfile.last("dispatcher", "EXPOSE").words] == [loaded.settings.port]
    made = [run.words for run in dockerfile.stages["dispatcher"].own if run.name == "RUN"]
    owner = dockerfile.last("dispatcher", "USER").value.partition(":")[0]
    assert ["install", owner, owner, "700", str(loaded.settings.data_dir)] in made


async def test_the_health_check_tells_a_server_from_none(
    dockerfile: Dockerfile, local_dispatcher: LocalDispatcher
) -> None:
    check = dockerfile.last("dispatcher", "HEALTHCHECK")
    assert check.is_exec
    assert check.words[0] == "python"

    async def healthy(address: str) -> int:
        environ = os.environ | {"DISPATCHER_LISTEN": address, "http_proxy": "http://127.0.0.1:9"}
        process = await asyncio.create_subprocess_exec(
            sys.executable, *check.words[1:], env=environ, stderr=asyncio.subprocess.DEVNULL
        )
        return await process.wait()

    assert await healthy(local_dispatcher.url.removeprefix("http://")) == 0
    assert await healthy("0.0.0.0:9") == 1
