"""A bad file or a bad enricher costs that enricher's fields and nothing else."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from dispatcher.errors import StartupError
from dispatcher.hooks.types import WorkerEnricher
from dispatcher.streams.workers import WorkerPool

FILE = Path(sys.executable)
LENGTH = {"language": f"{FILE.stat().st_size} bytes"}


def causes(findings):
    return [(failure.enricher, failure.cause) for failure in findings.failures]


async def test_enrichers_run_in_order_and_see_what_earlier_ones_found(pool, hostile):
    found = await pool.run(FILE, {"size": 7, "md5": "x"}, [hostile("good"), hostile("after_language"), hostile("sees")])
    assert found.fields["file_format"] == "saw " + LENGTH["language"]
    assert found.fields["file_extension"] == '["file_format", "language", "md5", "size"]'
    assert found.failures == []


@pytest.mark.parametrize(
    ("culprit", "cause"),
    [
        ("aborts", "crash"),
        ("segfaults", "crash"),
        ("leaves", "crash"),
        ("hogs", "memory"),
        ("raises", "raised"),
        ("exits", "raised"),
        ("answers_with_list", "garbage"),
        ("changes_hash", "garbage"),
        ("answers_with_object", "garbage"),
        ("answers_too_much", "garbage"),
        ("answers_surrogate", "garbage"),
        ("speaks_out_of_turn", "garbage"),
        ("announces_a_gigabyte", "garbage"),
        ("forges_a_hash", "garbage"),
        ("forges_info_without_a_floor", "garbage"),
        ("says_too_much", "garbage"),
        ("says_what_is_no_json", "garbage"),
        ("forges_a_cause", "garbage"),
        ("answers_ahead", "garbage"),
    ],
)
async def test_one_culprit_costs_only_its_own_fields(pool, hostile, culprit, cause):
    found = await pool.run(FILE, {}, [hostile("good"), hostile(culprit), hostile("after_language")])
    assert causes(found) == [(culprit, cause)]
    assert set(found.fields) == {"language", "file_format"}
    again = await pool.run(FILE, {}, [hostile("good")])
    assert again.fields == LENGTH


async def test_what_an_enricher_says_besides_fields_is_kept_apart(pool, hostile):
    found = await pool.run(FILE, {}, [hostile("says_more"), hostile("good"), hostile("sees")])
    assert found.info == {"says_more": {"lines": [1, 2], "deep": {"er": None}}}
    assert found.fields["file_extension"] == '["language"]', "the next one does not get it"
    assert not found.failures


@pytest.mark.parametrize("culprit", ["hangs", "spins"])
async def test_a_hanging_enricher_is_cut_off_in_time(pool, hostile, culprit):
    await pool.run(FILE, {}, [hostile("good")])
    started = time.monotonic()
    found = await pool.run(FILE, {}, [hostile(culprit, timeout=0.3), hostile("good")])
    assert causes(found) == [(culprit, "timeout")]
    assert found.fields == LENGTH
    assert time.monotonic() - started < 5


async def test_all_enrichers_together_have_a_bound_per_file(hostile):
    async with WorkerPool(1, file_seconds=1.0) as pool:
        started = time.monotonic()
        found = await pool.run(FILE, {}, [hostile("hangs"), hostile("good"), hostile("sees")])
        assert causes(found) == [("hangs", "timeout"), ("good", "timeout"), ("sees", "timeout")]
        assert time.monotonic() - started < 5


async def test_the_longest_answers_pass_and_reach_the_next_enricher(pool, hostile):
    found = await pool.run(
        FILE, {}, [hostile("answers_everything_at_length"), hostile("good"), hostile("aborts"), hostile("sees")]
    )
    assert causes(found) == [("aborts", "crash")]
    assert len(found.fields["magic"]) == 8192
    assert '"magic"' in found.fields["file_extension"]


async def test_two_crashes_in_one_file_leave_the_rest(pool, hostile):
    found = await pool.run(FILE, {}, [hostile("aborts"), hostile("good"), hostile("segfaults"), hostile("sees")])
    assert causes(found) == [("aborts", "crash"), ("segfaults", "crash")]
    assert set(found.fields) == {"language", "file_extension"}


async def test_the_signal_that_ended_a_worker_is_told(pool, hostile):
    found = await pool.run(FILE, {}, [hostile("aborts")])
    assert found.failures[0].detail == "killed by SIGABRT"


async def test_output_of_an_enricher_does_not_disturb(pool, hostile, capfd):
    found = await pool.run(FILE, {}, [hostile("prints")])
    assert found.fields == {"language": "quiet"}
    assert capfd.readouterr() == ("", "")


async def test_one_file_does_not_wait_for_another_ones_hang(hostile):
    async with WorkerPool(2) as pool:
        stuck = asyncio.create_task(pool.run(FILE, {}, [hostile("hangs", timeout=3.0)]))
        others = await asyncio.gather(*(pool.run(FILE, {}, [hostile("good")]) for _ in range(10)))
        assert not stuck.done()
        assert all(not found.failures for found in others)
        await stuck


async def test_a_worker_that_died_idle_is_replaced_unnoticed(pool, hostile):
    first = await pool.run(FILE, {}, [hostile("process_id")])
    victim = psutil.Process(int(first.fields["language"]))
    victim.kill()
    await asyncio.to_thread(os.waitid, os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    for _ in range(3):  # the loop hears of the closed socket
        await asyncio.sleep(0)
    second = await pool.run(FILE, {}, [hostile("process_id")])
    assert second.failures == []
    assert second.fields != first.fields


async def test_the_same_worker_serves_file_after_file(pool, hostile):
    runs = [await pool.run(FILE, {}, [hostile("process_id")]) for _ in range(5)]
    assert len({found.fields["language"] for found in runs}) == 1


async def test_giving_up_on_a_file_frees_its_worker(pool, hostile):
    task = asyncio.create_task(pool.run(FILE, {}, [hostile("hangs")]))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(task, 0.5)
    assert (await pool.run(FILE, {}, [hostile("good")])).failures == []


async def test_the_servers_secrets_are_not_in_a_workers_environment(pool, hostile, monkeypatch):
    monkeypatch.setenv("DISPATCHER_STORE_SECRET_KEY", "hush")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")
    found = await pool.run(FILE, {}, [hostile("environment")])
    assert "SECRET" not in found.fields["language"]
    assert "PYTHONPATH" in found.fields["language"]


async def test_what_a_worker_started_ends_with_it(hostile):
    async with WorkerPool(1) as pool:
        found = await pool.run(FILE, {}, [hostile("starts_a_child")])
        child = psutil.Process(int(found.fields["language"]))
        assert child.is_running()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running()


@pytest.mark.parametrize(
    ("function", "reason"),
    [("no_such_module:f", "No module named"), ("hostile_enrichers:nope", "no attribute"), ("json", "package.module")],
)
async def test_a_function_that_cannot_be_imported_is_refused_at_start(pool, hostile, function, reason):
    with pytest.raises(StartupError, match=f"{function}.*{reason}"):
        await pool.load([function])


async def test_nothing_to_run_starts_no_worker(pool):
    before = set(psutil.Process().children())
    assert (await pool.run(FILE, {}, [])).fields == {}
    assert set(psutil.Process().children()) <= before


async def test_a_function_that_vanished_is_counted_and_the_others_run(pool, hostile):
    found = await pool.run(FILE, {}, [WorkerEnricher("gone", "hostile_enrichers:gone"), hostile("good")])
    assert causes(found) == [("gone", "raised")]
    assert "language" in found.fields


SERVER = """
import asyncio, sys
from pathlib import Path
from dispatcher.hooks.types import WorkerEnricher
from dispatcher.streams.workers import WorkerPool

async def main():
    async with WorkerPool(2) as pool:
        first = await pool.run(Path(sys.executable), {}, [WorkerEnricher("p", "hostile_enrichers:process_id")])
        busy = asyncio.create_task(pool.run(Path(sys.executable), {}, [WorkerEnricher("h", "hostile_enrichers:hangs")]))
        await asyncio.sleep(0)
        second = await pool.run(Path(sys.executable), {}, [WorkerEnricher("p", "hostile_enrichers:process_id")])
        print(first.fields["language"], second.fields["language"], flush=True)
        await busy

asyncio.run(main())
"""


async def test_workers_idle_and_busy_die_with_a_killed_server(hostile):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVER, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert server.stdout
    workers = [psutil.Process(int(pid)) for pid in (await server.stdout.readline()).split()]
    assert len({worker.pid for worker in workers}) == 2
    server.send_signal(signal.SIGKILL)
    await server.wait()
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
