import hashlib
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.streams.hashing import ALGORITHMS, Hasher


def test_a_real_file_in_pieces():
    body = Path(sys.executable).read_bytes()
    hasher = Hasher()
    for start in range(0, len(body), 100_003):
        hasher.update(body[start : start + 100_003])
    assert hasher.digests() == {name: hashlib.new(name, body).hexdigest() for name in ALGORITHMS}
    assert hasher.size == len(body)


def test_of_nothing():
    assert Hasher().digests()["md5"] == "d41d8cd98f00b204e9800998ecf8427e"


@given(st.lists(st.binary()))
def test_any_split_gives_the_same(pieces):
    parts, whole = Hasher(["sha256"]), Hasher(["sha256"])
    for piece in pieces:
        parts.update(piece)
    whole.update(b"".join(pieces))
    assert parts.digests() == whole.digests()
    assert parts.digests().keys() == {"sha256"}
