import base64
import gzip
import random
import time
from pathlib import Path

import pytest
from dispatcher_sdk import run_plugin
from dispatcher_sdk.loading import load_plugin

plugin = load_plugin(str(Path(__file__).with_name("url_finder.py")))


def test_urls_come_with_their_offsets() -> None:
    text = b"one http://a.example/x?y=1 and (see HTTPS://b.example/c_(d)).\n'ftp://c.example/' http:// nothing"
    result = run_plugin(plugin, text)
    assert [(f.value, f.offset) for f in result.features] == [
        ("http://a.example/x?y=1", 4),
        ("HTTPS://b.example/c_(d)", 36),
        ("ftp://c.example/", 63),
    ]
    for feature in result.features:
        assert text[feature.offset : feature.offset + feature.size].decode() == feature.value


@pytest.mark.parametrize(
    "hidden",
    [
        b"MZ" + bytes(200),
        gzip.compress(bytes(range(256)), mtime=0),
        b"a readable sentence that is long enough to be found",
    ],
)
def test_files_in_base64_become_children(hidden: bytes) -> None:
    text = b"data = '" + base64.b64encode(hidden) + b"'"
    result = run_plugin(plugin, text)
    (child,) = result.children
    assert child.data == hidden
    assert child.relationship == {"encoding": "base64", "offset": "8"}
    assert result.values("base64_offset") == ["8"]


def test_wrapped_base64_is_one_child() -> None:
    hidden = b"%PDF-1.7 " + bytes(300)
    result = run_plugin(plugin, b"-----\n" + base64.encodebytes(hidden) + b"-----\n")
    assert [child.data for child in result.children] == [hidden]


@pytest.mark.parametrize(
    "text",
    [
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"AbstractSingletonProxyFactoryBeanConfigurationHolderImpl",
        base64.b64encode(random.Random(1).randbytes(300)),
        b"A" * 41,
        b"",
    ],
)
def test_what_is_not_a_file_is_left_alone(text: bytes) -> None:
    assert not run_plugin(plugin, text + b" ").children


def test_hostile_text_is_quick_and_bounded() -> None:
    blob = base64.b64encode(b"MZ" + bytes(60))
    many = b" ".join(base64.b64encode(b"MZ%060d" % number) for number in range(300))
    result = run_plugin(plugin, many)
    assert (result.status, len(result.children)) == ("completed-with-errors", 200)
    started = time.monotonic()
    for text in (b"A" * 8_000_000, b"http://" * 1_000_000, blob * 100_000, (b"A" * 50 + b"\n") * 100_000 + b"!"):
        assert run_plugin(plugin, text).status.startswith("completed")
    assert time.monotonic() - started < 10


def test_a_real_file() -> None:
    path = Path(base64.__file__)
    result = run_plugin(plugin, path)
    assert result.status.startswith("completed")
    assert result.event.entity.input.source.path[-1].filename == "base64.py"
