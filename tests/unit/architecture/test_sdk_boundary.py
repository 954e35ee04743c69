"""A module added to the SDK must be added to the import contract too."""

import tomllib
from pathlib import Path

TOP = Path(__file__).parents[3]


def test_every_sdk_module_but_the_models_is_forbidden_to_the_dispatcher() -> None:
    contracts = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    listed: set[str] = set()
    for contract in contracts:
        listed |= {name for name in contract.get("forbidden_modules", ()) if name.startswith("dispatcher_sdk.")}
    modules = {f"dispatcher_sdk.{file.stem}" for file in (TOP / "sdk/dispatcher_sdk").glob("*.py")}
    assert modules - {"dispatcher_sdk.__init__"} == listed
