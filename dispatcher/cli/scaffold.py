"""`dispatcher hooks new NAME`: a hook package to start from, with a test that passes at once."""

import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Final

import click

from dispatcher.cli.console import Failure
from dispatcher.hooks.options import token

NAME: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
FILES: Final = {
    "pyproject.toml.txt": "pyproject.toml",
    "README.md.txt": "README.md",
    "module.py.txt": "{module}.py",
    "test_module.py.txt": "test_{module}.py",
}


@click.command()
@click.argument("name")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder to make it in.")
def new(name: str, into: Path) -> None:
    """Make a folder NAME with a hook package: code, typed options, a test, and how to install it.

    \b
    Example:
      dispatcher hooks new my-rules && cd my-rules && pytest
    """
    if not NAME.fullmatch(name):
        raise Failure(f"{name!r} is no name for a package: use small letters, digits and dashes, a letter first")
    folder = into / name
    if folder.exists():
        raise Failure(f"{folder} is there already")
    words = _words(name)
    folder.mkdir(parents=True)
    for source, target in FILES.items():
        text = (files("dispatcher.cli") / "templates" / "hooks" / source).read_text("utf-8")
        (folder / target.format(**words)).write_text(Template(text).substitute(words), "utf-8")
    click.echo(f"{folder}: edit {words['module']}.py, then pytest; {folder}/README.md says how to install it")


def _words(name: str) -> dict[str, str]:
    module = name.replace("-", "_")
    pieces = re.split("[-_]", name)
    major, minor, *_ = version("azul-dispatcher").split(".")
    return {
        "distribution": name.replace("_", "-"),
        "module": module,
        "class_": "".join(piece.capitalize() for piece in pieces),
        "title": " ".join(pieces).capitalize(),
        "token": token(module),
        "ours": f"{major}.{minor}",
        "next": f"{int(major) + 1}" if major != "0" else f"0.{int(minor) + 1}",
    }
