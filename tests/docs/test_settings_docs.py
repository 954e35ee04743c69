"""Every setting is documented as it is."""

from pathlib import Path

import pytest

from dispatcher.settings import Settings
from dispatcher.settings.original import REFUSED
from dispatcher.settings.show import kind, show
from dispatcher.settings.table import about, env_name

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reference/settings.md").read_text()


def section(attribute: str) -> str:
    default = show(attribute, Settings.model_fields[attribute].default)
    lines = [
        f"### `{env_name(attribute)}`",
        "",
        about(attribute).text,
        "",
        f"* {kind(attribute)}, default {f'`{default}`' if default else 'empty'}",
    ]
    if names := about(attribute).also:
        lines.append("* also: " + ", ".join(f"`{name}`" for name in names))
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("attribute", list(Settings.model_fields))
def test_the_page_has_this_setting(attribute: str) -> None:
    assert section(attribute) in PAGE, f"put this into docs/reference/settings.md:\n\n{section(attribute)}"


def test_the_page_has_nothing_else() -> None:
    assert PAGE.count("\n### `DISPATCHER_") == len(Settings.model_fields)


@pytest.mark.parametrize("name", ["DISPATCHER_STORE_S3_*", "streams.aes_enabled"])
def test_what_is_refused_is_named(name: str) -> None:
    assert name in REFUSED
    assert f"`{name}`" in PAGE
