"""The page about Docker: what can run without Docker runs, and the rest means something in our files."""

import argparse
import asyncio
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dispatcher.testing import LocalDispatcher
from tests.containers import compose
from tests.containers.compose import ROOT
from tests.containers.dockerfile import Dockerfile

PAGE = "docs/howto/docker.md"
COMMANDS = Path(sys.executable).parent

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


def grammar() -> argparse.ArgumentParser:
    """As much of Docker's command line as the page uses; what it does not know is a SystemExit."""
    docker = argparse.ArgumentParser(exit_on_error=False, allow_abbrev=False)
    verbs = docker.add_subparsers(dest="verb", required=True)
    build = verbs.add_parser("build")
    for option in ("--target", "--build-arg", "--tag"):
        build.add_argument(option)
    build.add_argument("context")
    composed = verbs.add_parser("compose")
    composed.add_argument("--file", required=True)
    actions = composed.add_subparsers(dest="action", required=True)
    up, down, logs, run, inside = (actions.add_parser(name) for name in ("up", "down", "logs", "run", "exec"))
    for flag in ("--build", "--detach", "--wait"):
        up.add_argument(flag, action="store_true")
    up.add_argument("--scale", default="dispatcher=1")
    down.add_argument("--volumes", action="store_true")
    logs.add_argument("--follow", action="store_true")
    logs.add_argument("service")
    run.add_argument("--rm", action="store_true")
    run.add_argument("--volume")
    for parser in (run, inside):
        parser.add_argument("service")
        parser.add_argument("words", nargs=argparse.REMAINDER)
    return docker


class Reader:
    """Somebody without Docker who does what the page says."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._parser = grammar()

    def do(self, line: str) -> str:
        """What the command would print; nothing when only Docker could tell."""
        words = shlex.split(line)
        if words[0] == "curl":
            return self._run([words[0], "-s", *words[1:]])
        if words[0] == "docker":
            return self._docker(self._parser.parse_args(words[1:]))
        assert words == ["git", "pull"]
        return ""

    def _docker(self, given: argparse.Namespace) -> str:
        if given.verb == "build":
            self._build(given)
            return ""
        services = compose.load(given.file)["services"]
        if given.action == "up":
            service, _, number = given.scale.partition("=")
            assert int(number) == 1 or not {"ports", "container_name"} & services[service].keys()
        elif given.action in ("logs", "run", "exec"):
            assert given.service in services
        return self._inside(given) if given.action in ("run", "exec") else ""

    def _build(self, given: argparse.Namespace) -> None:
        plugin = given.build_arg.removeprefix("PLUGIN=")
        assert given.target in Dockerfile(ROOT / "Dockerfile").stages
        assert (ROOT / "contrib_plugins" / plugin / "pyproject.toml").exists()
        assert given.context == "."

    def _inside(self, given: argparse.Namespace) -> str:
        """The entry point of the image is the command; `exec` names it."""
        words = ["dispatcher", *given.words] if given.action == "run" else given.words
        assert words[0] == "dispatcher"
        if given.action == "run":
            outside, inside, _ = given.volume.split(":")
            words = [outside.replace("$PWD", str(ROOT)) if word == inside else word for word in words]
        once = ["--once"] if words[1] == "watch" else []
        return self._run([str(COMMANDS / words[0]), *words[1:], *once])

    def _run(self, words: list[str]) -> str:
        here = [word.replace("http://localhost:8111", self._url) for word in words]
        here = [word.replace("http://dispatcher:8111", self._url) for word in here]
        ran = subprocess.run(
            here, cwd=ROOT, env=os.environ | {"DISPATCHER_URL": self._url}, capture_output=True, text=True, timeout=30
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout


async def test_the_page(blocks: Callable[[str], list[Any]], tmp_path: Path) -> None:
    async with LocalDispatcher(tmp_path) as server:
        reader = Reader(server.url)
        for block in blocks(PAGE):
            for line in block.code.splitlines():
                assert block.shows in await asyncio.to_thread(reader.do, line)


def test_the_table_of_services_and_volumes() -> None:
    page = (ROOT / PAGE).read_text()
    files = compose.load("docker-compose-all.yaml")
    for name, service in files["services"].items():
        assert f"\n| `{name}` |" in page
        for _, port in compose.published(service).values():
            assert f"localhost:{port} |" in page
    for volume in files["volumes"]:
        assert f"\n| `{files['name']}_{volume}` |" in page
