"""What one chunk of the tail costs in delivery, by subscribers and records: `python -m tests.bench.bench_matching`.

Pure CPU in this process, no log: microseconds a chunk and an event. Each subscriber wants a size of content that none
of the events has, so what is measured is the news that nobody wants; the verdicts are known after two rounds.
"""

import time

from dispatcher_sdk.models import decode, encode

from dispatcher.delivery.limits import Limits
from dispatcher.delivery.rules import FilterConsumerRules, FilterTooDeep
from dispatcher.delivery.scheduler import Scheduler
from dispatcher.eventlog.base import Chunk, Record, TopicPartition
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.header import header_of, pack
from dispatcher.hooks.types import Subscription
from dispatcher.metrics import Metrics
from tests.bench import events

NAMES = TopicNames("bench")
PLACE: TopicPartition = (NAMES.binary("bench", "extracted"), 0)
KINDS = 20
ROUNDS = 200


def scheduler_of(subscribers: int) -> Scheduler:
    scheduler = Scheduler(
        names=NAMES,
        filters=(FilterTooDeep(), FilterConsumerRules()),
        limits=Limits(),
        metrics=Metrics(),
        serving_since=0.0,
    )
    for number in range(subscribers):
        size = 1_000_000 + number * 1_000
        wanted = Subscription(
            name=f"p{number}", version="1", model="binary", live=True, over_size=size, under_size=size + 999
        )
        subscriber = scheduler.roster.register(wanted, {PLACE: (0, 0)}, 0.0)
        scheduler.touch(subscriber, 0.0)
    scheduler.follow(PLACE, 0)
    for subscriber in scheduler.roster.subscribers.values():
        while scheduler.next_scan(subscriber) is not None:  # where there is nothing to scan it shares the tail's place
            pass
    return scheduler


def tags() -> list[bytes]:
    some = (encode(events.binary(f"{kind}", size=kind * 1_000)) for kind in range(KINDS))
    return [pack(header_of(decode("binary", raw))) for raw in some]


def measure(subscribers: int, records: int) -> float:
    """Seconds a chunk."""
    scheduler, known = scheduler_of(subscribers), tags()
    offset, rounds, spent = 0, 0, 0.0
    while rounds < ROUNDS:
        news = [Record(offset + n, 0, b"k", b"v", known[(offset + n) % KINDS]) for n in range(records)]
        offset += records
        began = time.process_time()
        scheduler.absorb_tail(Chunk(PLACE, news, offset, 0, offset))
        spent += (time.process_time() - began) if rounds >= 2 else 0.0
        rounds += 1
    return spent / (rounds - 2)


def main() -> None:
    print("subscribers  records  us/chunk  us/event")
    for subscribers in (0, 10, 100, 1_000, 5_000):
        for records in (1, 20, 500):
            seconds = measure(subscribers, records)
            print(f"{subscribers:11}{records:9}{seconds * 1e6:10,.1f}{seconds / records * 1e6:10,.2f}")


if __name__ == "__main__":
    main()
