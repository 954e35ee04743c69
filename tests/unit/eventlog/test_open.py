import pytest

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import Append, RecordTooLarge, TopicSpec
from dispatcher.eventlog.open import open_log


@pytest.mark.parametrize(("url", "kept"), [("memory:", False), ("sqlite:", True)])
async def test_log_and_journal_by_url(url, kept, tmp_path):
    for life in range(2):
        log, journal = await open_log(url, data_dir=tmp_path / "data", message_max_bytes=10)
        await log.ensure_topics([TopicSpec("t")])
        ok, large = await log.append([Append("t", b"k", b"x" * 10), Append("t", b"k", b"x" * 11)])
        assert ok is None
        assert isinstance(large, RecordTooLarge)
        fence, state = await journal.open(0)
        assert state == ({b"life": b"0"} if kept and life else {})
        await journal.put(0, fence, {b"life": b"%d" % life})
        assert (await log.bounds([("t", 0)]))[("t", 0)][1] == (life + 1 if kept else 1)
        await log.close()


async def test_an_unknown_url_names_the_known_ones(tmp_path):
    with pytest.raises(StartupError, match=r"'postgres:'.*memory:, sqlite:"):
        await open_log("postgres:", data_dir=tmp_path, message_max_bytes=10)
