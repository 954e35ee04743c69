"""Tokens: what we gave out is recognised, whatever the names look like; nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.delivery.leases import Lease, Token, new_secret, parse_token, render_token, topic_id

TOKEN = st.builds(
    Token,
    sid=st.text("0123456789abcdef", min_size=16, max_size=16),
    topic_id=st.text(min_size=1).map(topic_id),
    partition=st.integers(0, 10_000),
    offset=st.integers(0, 2**63 - 1),
    attempt=st.integers(1, 1000),
    epoch=st.integers(0, 1000),
)
NAME = st.text(max_size=40) | st.sampled_from(("", ".", "a.b", "-", "x-1-2-3-4-5-6.7", "..", "1.2.3", "\x00", "ü.\n"))
SECRET = new_secret()


@given(TOKEN, NAME, NAME, NAME, st.floats(0, 2e10))
def test_round_trip_with_any_name(token: Token, key: str, name: str, version: str, now: float) -> None:
    text = render_token(token, SECRET, key=key, name=name, version=version, now=now)
    assert parse_token(text) == (token, token.seal(SECRET))


def test_clients_of_the_original_can_read_it() -> None:
    token = Token("s" * 16, topic_id("t"), 3, 12, 1, 0)
    text = render_token(token, SECRET, key="0abc", name="plug", version="1.0", now=1_700_000_000.9)
    assert text.startswith("0abc.plug.1.0.")
    assert int(text.split(".")[-1]) == 1_700_000_000


@given(TOKEN, st.integers(0, 5), st.integers(1, 5))
def test_a_seal_is_for_one_place_only(token: Token, field: int, by: int) -> None:
    seal = token.seal(SECRET)
    old = token[field]
    other = token._replace(**{token._fields[field]: old + by if isinstance(old, int) else old[::-1] + "0"})
    assert other.seal(SECRET) != seal
    assert token.seal(new_secret()) != seal, "the seal of another installation"
    assert token.seal(SECRET) == seal


@given(st.text() | st.text("0123456789.-abc"))
def test_any_other_text_is_nobodys(text: str) -> None:
    parsed = parse_token(text)
    if parsed is not None:  # by chance of our shape, then at least in range
        token, _ = parsed
        assert all(0 <= number < 10**19 for number in token[2:])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "key.plug.1.1700000000",
        "sha.plug.1.2024-05-01T10:00:00Z",
        "k.p.1.sid-topic-0-0-1-0.17",
        "k.p.1.sid-topic-0-0-1-0-seal-more.17",
        "k.p.1.sid-topic-0--1-1-0-seal.17",
        "k.p.1.sid-topic-0-+1-1-0-seal.17",
        "k.p.1.sid-topic-0- 1-1-0-seal.17",
        "k.p.1.sid-topic-0-1_0-1-0-seal.17",
        "k.p.1.sid-topic-0-\u0661-1-0-seal.17",
        "k.p.1.sid-topic-0-" + "9" * 30 + "-1-0-seal.17",
        "k.p.1.sid-topic-0-" + "9" * 5000 + "-1-0-seal.17",
        "." * 10_000,
        "-" * 10_000,
    ],
)
def test_foreign_texts(text: str) -> None:
    assert parse_token(text) is None


def test_a_lease_is_out_until_it_waits_or_ends() -> None:
    lease = Lease(1, 10.0, renewed_at=5.0)
    assert lease.out
    lease.due_at = 7.0
    assert not lease.out
    assert not Lease(3, 10.0, renewed_at=5.0, ending=True).out
