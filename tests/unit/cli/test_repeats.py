import logging

from dispatcher.cli.repeats import FewerRepeats


def passes(quiet: FewerRepeats, name: str, text: str, *values: object) -> bool:
    return bool(quiet.filter(logging.LogRecord(name, logging.ERROR, "", 0, text, values, None)))


def test_the_kafka_client_says_a_line_once_however_its_values_differ() -> None:
    quiet = FewerRepeats(seconds=3600)
    lines = [passes(quiet, "aiokafka.client", "Unable connect to node %s", node) for node in range(100)]
    assert lines == [True] + [False] * 99
    assert passes(quiet, "aiokafka.client", "something else")
    assert passes(quiet, "aiokafka.conn", "Unable connect to node %s", 1)


def test_it_says_it_again_later() -> None:
    quiet = FewerRepeats(seconds=0)
    assert [passes(quiet, "aiokafka.conn", "away") for _ in range(3)] == [True] * 3


def test_our_own_lines_all_pass() -> None:
    quiet = FewerRepeats(seconds=3600)
    assert all(passes(quiet, "dispatcher.eventlog", "the log is away") for _ in range(3))
