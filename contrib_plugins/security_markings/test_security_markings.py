"""Markings against clearances: the rules alone, the options, and a running server."""

import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import security_markings
from hypothesis import given, settings
from hypothesis import strategies as st
from security_markings import Options, SecurityMarkings
from security_schemes import LONGEST, Scheme, UnknownMarking

from dispatcher.errors import StartupError
from dispatcher.hooks import Header, Subscription
from dispatcher.testing import LocalDispatcher

TLP = ["TLP:CLEAR", "TLP:GREEN", "TLP:AMBER", "TLP:AMBER+STRICT", "TLP:RED"]
CLASSES = {"UNOFFICIAL": 0, "OFFICIAL": 1, "OFFICIAL: Sensitive": 1, "SECRET": 5, "SECRET PLUS": 7, "TOP SECRET": 9}
LAB = Scheme([TLP, CLASSES], caveats=["EYES ONLY", "ORCON"], groups=["AUS", "NZL"])


@pytest.mark.parametrize("marking", TLP)
@pytest.mark.parametrize("limit", TLP)
def test_a_ladder_is_in_order(limit: str, marking: str) -> None:
    assert LAB.may_see(limit, marking) is (TLP.index(marking) <= TLP.index(limit))


@pytest.mark.parametrize(
    ("limit", "marking", "allowed"),
    [
        ("SECRET TLP:RED", "OFFICIAL//TLP:AMBER", True),
        ("SECRET TLP:GREEN", "OFFICIAL TLP:AMBER", False),  # every ladder counts
        ("SECRET", "OFFICIAL TLP:CLEAR", False),  # cleared for nothing of the other ladder
        ("SECRET TLP:RED", "OFFICIAL", True),
        ("OFFICIAL", "OFFICIAL: Sensitive", True),  # one rank
        ("SECRET", "TOP SECRET", False),  # not SECRET behind something else
        ("TOP SECRET", "SECRET", True),
        ("SECRET PLUS", "secret plus", True),  # not SECRET before something else
        ("SECRET", "SECRET PLUS", False),
        ("TLP:RED TLP:GREEN", "TLP:AMBER", False),  # two levels as a limit: the lower one
        ("TLP:GREEN", "TLP:CLEAR TLP:AMBER", False),  # two levels as a marking: the higher one
        ("TOP SECRET", "SECRET ORCON", False),
        ("TOP SECRET ORCON", "SECRET", True),
        ("TOP SECRET ORCON", "SECRET ORCON EYES ONLY", False),
        ("EYES ONLY TOP SECRET ORCON", "SECRET, ORCON, EYES ONLY", True),
        ("SECRET REL:AUS", "SECRET REL:AUS,NZL", True),
        ("SECRET REL:AUS", "SECRET REL:NZL", False),
        ("SECRET", "SECRET REL:AUS", False),
        ("SECRET REL:AUS", "SECRET", True),
        ("SECRET REL:AUS REL:NZL", "REL:NZL", True),
    ],
)
def test_ladders_caveats_and_groups(limit: str, marking: str, allowed: bool) -> None:
    assert LAB.may_see(limit, marking) is allowed


@pytest.mark.parametrize(
    "marking", ["tlp:amber", " TLP : Amber ", "TLP:\tAMBER", "/TLP:AMBER//", "TLP:AMBER,", "\\TLP:AMBER"]
)
def test_case_and_spacing_do_not_matter(marking: str) -> None:
    assert LAB.read(marking) == LAB.read("TLP:AMBER")
    assert LAB.read("tlp:amber + strict  /  rel: aus , nzl") == LAB.read("TLP:AMBER+STRICT REL:NZL,AUS")


@pytest.mark.parametrize(
    "text",
    [
        *("TLP:BLUE", "TLP", "AMBER", "TLP:RED!", "SECRET NOFORN", "REL:USA", "REL:", "REL:AUS,,NZL", "TOP", " ", "//"),
        *("TLP:RED " * LONGEST, "TLP\uff1aRED", "TLP:R\u200bED", "SECRET\x00"),
    ],
)
def test_what_is_not_understood_is_kept_from_everybody(text: str) -> None:
    everything = "TOP SECRET TLP:RED ORCON EYES ONLY REL:AUS,NZL"
    for limit, marking in ((everything, text), (text, "TLP:CLEAR"), (text, text)):
        with pytest.raises(UnknownMarking):
            LAB.may_see(limit, marking)
        assert SecurityMarkings(LAB).reject(Header(security=marking), subscriber(limit)) == "max_security"


def readable(text: str) -> bool:
    try:
        LAB.read(text)
    except UnknownMarking:
        return False
    return True


@settings(deadline=None)
@given(st.lists(st.sampled_from([*TLP, *CLASSES, "ORCON", "rel:aus", "X", " ", "//", ","]) | st.text(max_size=5)))
def test_no_text_is_too_odd(pieces: list[str]) -> None:
    text = " ".join(pieces)
    everything = "TOP SECRET TLP:RED ORCON EYES ONLY REL:AUS,NZL"
    verdict = SecurityMarkings(LAB).reject(Header(security=text), subscriber(everything))
    assert verdict == (None if not text or readable(text) else "max_security")
    if readable(text):
        assert LAB.may_see(text, text) is all(low == high for low, high in LAB.read(text).levels.values())


def subscriber(limit: str, model: str = "binary") -> Subscription:
    return Subscription("plugin", "1", model, max_security=limit)


def test_whom_it_concerns() -> None:
    rule = SecurityMarkings(LAB)
    red = Header(security="TLP:RED")
    assert rule.reject(red, subscriber("TLP:GREEN", "download")) == "max_security"
    assert rule.reject(red, subscriber("TLP:GREEN", "status")) is None
    assert rule.reject(red, subscriber("")) is None, "who has no limit sees everything, as ever"
    assert rule.reject(Header(), subscriber("TLP:CLEAR")) is None, "what has no marking is for all"


def test_an_operator_may_be_stricter() -> None:
    rule = SecurityMarkings(LAB, default="TLP:GREEN", unmarked="TLP:AMBER")
    assert rule.reject(Header(security="TLP:GREEN"), subscriber("")) is None
    assert rule.reject(Header(security="TLP:RED"), subscriber("")) == "max_security"
    assert rule.reject(Header(), subscriber("TLP:GREEN")) == "max_security"
    assert rule.reject(Header(), subscriber("TLP:RED")) is None


def test_an_unknown_marking_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    rule = SecurityMarkings(LAB)
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            rule.reject(Header(security=f"X{number}"), subscriber("TLP:RED"))
            rule.reject(Header(security="X0"), subscriber("TLP:RED"))
    assert len(caplog.records) == 100
    assert "'X0' is no label" in caplog.records[0].getMessage()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ladders": [["A", "b", "B "]]}, "'B ' is there twice"),
        ({"ladders": [["A"], {"a": 3}]}, "'a' is there twice"),
        ({"caveats": ["TLP: red"]}, "'TLP: red' is there twice"),
        ({"caveats": [" "]}, "' ' is no label"),
        ({"caveats": ["REL:AUS"]}, "list it among the groups"),
        ({"groups": ["REL AUS"]}, "single words"),
        ({"groups_prefix": " "}, "single words"),
        ({"default_max_security": "TLP:PINK"}, "default_max_security: 'TLP:PINK' is no label"),
        ({"unmarked": "SECRET"}, "unmarked: 'SECRET' is no label"),
        ({"ladders": [{"A": "high"}]}, "ladders"),
    ],
)
def test_options_that_make_no_sense_are_told(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="(?s)" + words):
        Options(**options)


async def test_in_a_server_each_subscriber_gets_what_it_may_see(tmp_path: Path) -> None:
    options = {"ladders": [TLP, ["UNOFFICIAL", "OFFICIAL", "SECRET"]], "caveats": ["ORCON"]}
    markings = ["", "tlp: green", "TLP:RED", "OFFICIAL//TLP:AMBER", "SECRET//ORCON", "COSMIC"]
    server = LocalDispatcher(tmp_path, hooks=[security_markings], hook_options={"security_markings": options})
    async with server, aiohttp.ClientSession(server.url) as http:
        events = [binary(number, marking) for number, marking in enumerate(markings)]
        async with http.post("/api/v2/event?model=binary", json=events) as reply:
            assert (await reply.json())["total_ok"] == len(events)

        async def seen(name: str, limit: str) -> list[str]:
            query = {"name": name, "version": "1", "r-historic": "true", "deadline": "1", "count": "100"}
            headers = {"Accept": "application/json"}
            async with http.get(
                "/api/v2/event/binary/passive", params=query | {"max-security": limit}, headers=headers
            ) as reply:
                answer = await reply.json()
            kept_back = len(events) - len(answer["events"])
            assert answer["info"].get("filters", {}) == (
                {"FilterSecurity-max_security": kept_back} if kept_back else {}
            )
            return [event["source"].get("security", "") for event in answer["events"]]

        assert await seen("none", "") == markings
        assert await seen("green", "TLP:Green") == ["", "tlp: green"]
        assert await seen("amber", "SECRET TLP:AMBER") == ["", "tlp: green", "OFFICIAL//TLP:AMBER"]
        assert await seen("all", "SECRET TLP:RED ORCON") == markings[:-1]
        assert await seen("stranger", "COSMIC") == [""]
        async with http.get("/api/v2/admin/hooks") as reply:
            mine = (await reply.json())["packages"][-1]
        assert [thing["in_place_of_builtin"] for thing in mine["objects"]] == [True]


async def test_a_server_does_not_start_with_a_wrong_ladder(tmp_path: Path) -> None:
    options = {"security_markings": {"ladders": [["A", "A"]]}}
    with pytest.raises(StartupError, match="'A' is there twice"):
        async with LocalDispatcher(tmp_path, hooks=[security_markings], hook_options=options):
            pass


def binary(number: int, marking: str) -> dict[str, Any]:
    sha = f"{number:064x}"
    author = {"name": "tester", "version": "1", "category": "user"}
    node = {"author": author, "action": "sourced", "sha256": sha, "timestamp": "2024-05-01T10:00:00Z"}
    hashes = {"sha512": "b" * 128, "sha256": sha, "sha1": "c" * 40, "md5": "d" * 32}
    stream = {"label": "content", "size": 5, "mime": "text/plain", "magic": "ASCII text", **hashes}
    return {
        "model_version": 6,
        "kafka_key": "placeholder",
        "timestamp": "2024-05-01T10:00:00Z",
        "author": author,
        "source": {"name": "lab", "security": marking, "path": [node], "timestamp": "2024-05-01T10:00:00Z"},
        "entity": {"sha256": sha, "datastreams": [stream]},
        "action": "sourced",
        "flags": {},
    }
