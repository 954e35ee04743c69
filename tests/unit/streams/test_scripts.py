"""The rules over text: quick on hostile input, silent where there is nothing to say."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatcher.streams import taxonomy
from dispatcher.streams.parsers import scripts

PUMPS = [
    b"(",
    b" ",
    b"\n",
    b"$a=",
    b"{",
    b'"""a',
    b"import ",
    b"fn a<",
    b"function ",
    b"if a then\n",
    b"%a%",
    b"\n<job ",
]


@pytest.mark.parametrize("pump", PUMPS)
def test_text_made_to_slow_the_rules_down(pump):
    text = (pump * scripts.HEAD_BYTES)[: scripts.HEAD_BYTES]
    scripts.language_of(b"")
    started = time.perf_counter()
    scripts.language_of(text)
    assert time.perf_counter() - started < scripts.SCAN_SECONDS / 2


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_a_known_format_or_none(head):
    found = scripts.language_of(scripts.as_text(head))
    assert not found or found in taxonomy.FORMATS


def test_every_rule_names_a_format_of_the_taxonomy():
    assert {rule.meta["format"] for rule in scripts.rules()} <= taxonomy.FORMATS.keys()


def test_a_string_counts_once_by_its_kind():
    assert scripts.points(["$weak_a", "$weak_a", "$weak_b", "$strong_c", "$sure_d"]) == 5 + 5 + 15 + 20


@pytest.mark.parametrize("file_format", ["archive/zip", "code/c", "document/pdf"])
def test_what_libmagic_knows_is_left_alone(tmp_path, file_format):
    path = tmp_path / "file"
    path.write_bytes(b"#!/bin/sh\nif [ -f x ]; then\n")
    known = {"size": path.stat().st_size, "file_format": file_format}
    assert scripts.refine(str(path), known) == {}
    assert scripts.refine(str(path), known | {"file_format": "unknown"})["file_format"] == "code/shell"


def test_binary_data_is_not_scanned(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"#!/bin/sh\nif [ -f x ]; then\n\0")
    assert scripts.refine(str(path), {"size": 30, "file_format": "unknown"}) == {}
