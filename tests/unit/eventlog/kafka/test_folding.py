"""Journal records against what they must amount to, also after compaction has taken some of them away."""

from hypothesis import given
from hypothesis import strategies as st

from dispatcher.eventlog.base import Record
from dispatcher.eventlog.kafka.folding import CLAIM, Folded, fence_tag, item_key


def claim(offset: int) -> Record:
    return Record(offset, 0, CLAIM, b"who", None)


def item(offset: int, fence: int, key: bytes, value: bytes | None) -> Record:
    return Record(offset, 0, item_key(key), value, fence_tag(fence))


def folded(*records: Record) -> Folded:
    result = Folded()
    result.add(records)
    return result


def test_the_newest_value_counts_and_none_removes() -> None:
    result = folded(
        claim(0), item(1, 0, b"a", b"1"), item(2, 0, b"b", b"1"), item(3, 0, b"a", b"2"), item(4, 0, b"b", None)
    )
    assert (result.state, result.claim, result.repairs()) == ({b"a": b"2"}, 0, {})


def test_an_owner_takes_over_what_its_forerunner_left() -> None:
    assert folded(claim(0), item(1, 0, b"a", b"1"), claim(2), item(3, 2, b"b", b"2")).state == {b"a": b"1", b"b": b"2"}


def test_a_former_owner_changes_nothing_and_what_it_hides_is_known() -> None:
    result = folded(
        claim(0), item(1, 0, b"a", b"1"), claim(2), item(3, 0, b"a", b"zombie"), item(4, 0, b"new", b"zombie")
    )
    assert result.state == {b"a": b"1"}
    assert result.repairs() == {b"a": b"1", b"new": None}


def test_a_key_that_was_written_again_needs_no_repair() -> None:
    result = folded(claim(0), claim(1), item(2, 0, b"a", b"zombie"), item(3, 1, b"a", b"2"))
    assert (result.state, result.repairs()) == ({b"a": b"2"}, {})


def test_compaction_has_taken_the_claims_but_fences_still_tell() -> None:
    result = folded(item(5, 4, b"a", b"new"), item(6, 1, b"a", b"zombie"), claim(9))
    assert (result.state, result.claim) == ({b"a": b"new"}, 9)


def test_keys_that_look_like_claims_are_items() -> None:
    assert folded(claim(0), item(1, 0, CLAIM, b"v"), item(2, 0, b"", b"w")).state == {CLAIM: b"v", b"": b"w"}


KEYS = st.sampled_from([b"a", b"b", b"c"])
STEPS = st.lists(st.one_of(st.just("claim"), st.tuples(KEYS, st.booleans(), st.booleans())), max_size=40)


@given(STEPS, st.sets(st.integers(0, 40)))
def test_zombies_never_change_anything_whatever_compaction_takes(steps, compacted) -> None:
    """Compaction takes a record only when a later one has its key, and never a valid one hidden by a zombie's: it waits
    until that is repaired."""
    records, fences, model = [claim(0)], [0], {}
    for offset, step in enumerate(steps, 1):
        if step == "claim":
            fences.append(offset)
            records.append(claim(offset))
            continue
        key, removes, late = step
        value = None if removes else b"%d" % offset
        zombie = late and len(fences) > 1
        records.append(item(offset, fences[-2] if zombie else fences[-1], key, value))
        if not zombie:
            model[key] = value
    expected = {key: value for key, value in model.items() if value is not None}
    assert folded(*records).state == expected

    repaired = len(records)
    for key, value in folded(*records).repairs().items():
        records.append(item(len(records), fences[-1], key, value))
    assert len(records) >= repaired
    last = {record.key: record.offset for record in records}
    kept = [record for record in records if last[record.key] == record.offset or record.offset not in compacted]
    assert folded(*kept).state == expected
