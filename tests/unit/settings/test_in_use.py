"""No setting that does nothing: each is read somewhere in the server."""

import re
from pathlib import Path

import pytest

import dispatcher
from dispatcher.settings import Settings

FOLDER = Path(dispatcher.__path__[0])
CODE = "\n".join(path.read_text() for path in FOLDER.rglob("*.py") if path.parent.name != "settings")
INDIRECT = {"listen": "host|port", "store": "store_url"}
"""Read through a property."""


@pytest.mark.parametrize("attribute", list(Settings.model_fields))
def test_the_server_reads_this_setting(attribute: str) -> None:
    assert re.search(rf"settings\.(?:{INDIRECT.get(attribute, attribute)})\b", CODE)
