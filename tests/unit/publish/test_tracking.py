"""Worked examples of wire contract 3.6: the names by which events are deleted later."""

from datetime import datetime
from hashlib import md5

import pytest
from dispatcher_sdk.models import Author, BinaryEvent, PathNode, Source

from dispatcher.publish.tracking import moment, set_tracking, source_references

REFERENCES = {
    "submitter_region": "63",
    "submitter_id": "0a9e3094",
    "submitter_country": "UA",
    "submitter_city": "kharkiv",
    "interface": "web",
}


def test_source_references_of_the_contract() -> None:
    source = Source(name="virustotal", references=REFERENCES)
    assert source_references(source) == "virustotal.5a0cc3b7a38feb282d8ae928eca68f5d"


def test_references_are_sorted_by_key_alone() -> None:
    source = Source(name="s", references={"a-": "2", "a": "1"})
    assert source_references(source) == "s." + md5(b"a.1.a-.2.").hexdigest()


@pytest.mark.parametrize(
    ("written", "tracked"),
    [
        ("2021-03-29T03:24:08Z", "2021_03_29T03_24_08Z_00"),
        ("2021-03-29T03:24:08.987654Z", "2021_03_29T03_24_08Z_00"),
        ("2021-02-07T21:40:33+11:00", "2021_02_07T21_40_33+11_00"),
        ("2021-02-07T21:40:33+05:30", "2021_02_07T21_40_33+05_00"),
        ("2021-02-07T21:40:33-03:30", "2021_02_07T21_40_33-03_00"),
        ("2021-02-07T21:40:33-00:30", "2021_02_07T21_40_33-00_00"),
        ("2021-02-07T21:40:33+00:00", "2021_02_07T21_40_33Z_00"),
    ],
)
def test_layout_of_times(written: str, tracked: str) -> None:
    assert moment(datetime.fromisoformat(written)) == tracked


def test_links_and_authors_of_a_path() -> None:
    def step(name: str, version: str, category: str, sha256: str, when: str) -> PathNode:
        who = Author(name=name, version=version, category=category)
        return PathNode(author=who, sha256=sha256, timestamp=datetime.fromisoformat(when))

    event = BinaryEvent(
        track_links=["sent by a client"],
        source=Source(
            path=[
                step("loader", "", "", "aa", "2021-02-13T10:00:00Z"),
                step("select", "1", "plugin", "aa", "2021-02-13T11:00:00+11:00"),
                step("MimeDecoder", "2021.02.14", "plugin", "bb", "2021-02-14T12:12:21Z"),
            ]
        ),
    )
    set_tracking(event)
    assert event.track_authors == [".loader.", "plugin.select.1", "plugin.MimeDecoder.2021.02.14"]
    assert event.track_links == [
        "aa.aa.2021_02_13T11_00_00+11_00.plugin.select.1",
        "aa.bb.2021_02_14T12_12_21Z_00.plugin.MimeDecoder.2021.02.14",
    ]


def test_insert_links_its_parent_to_its_history(insert: object) -> None:
    event = insert("b", "e", history={"timestamp": "2021-02-14T12:12:21+02:00"})  # type: ignore[operator]
    set_tracking(event)
    assert event.track_author == "plugin.analyst.1.0"
    assert event.track_link == f"{'b' * 64}.{'e' * 64}.2021_02_14T12_12_21+02_00.plugin.analyst.1.0"
