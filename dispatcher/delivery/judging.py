"""From records to verdicts: headers are read, and records that share one are decided together."""

from collections.abc import Iterable, Iterator

from dispatcher.delivery.matching import Matcher, Verdict
from dispatcher.delivery.roster import Roster
from dispatcher.delivery.undecodable import Unreadable, read_header
from dispatcher.eventlog.base import Record, TopicPartition
from dispatcher.hooks.header import Header


class Judge:
    def __init__(self, roster: Roster, unreadable: Unreadable) -> None:
        self._roster = roster
        self._unreadable = unreadable

    def verdicts(self, partition: TopicPartition, records: Iterable[Record]) -> Iterator[tuple[Verdict, list[int]]]:
        """Verdicts with the offsets that they are about. Tombstones and records that nobody can read are for nobody."""
        matcher = self._roster.matcher(partition[0])
        for key, (header, offsets) in self._groups(matcher, partition, records).items():
            yield matcher.verdict(key, header), offsets

    def _groups(
        self, matcher: Matcher, partition: TopicPartition, records: Iterable[Record]
    ) -> dict[tuple[object, ...], tuple[Header, list[int]]]:
        topic = self._roster.topic_name(partition[0])
        groups: dict[tuple[object, ...], tuple[Header, list[int]]] = {}
        for record in records:
            if record.value is None:
                continue  # a tombstone, or a record of ours that is for no client
            header = read_header(topic, record)
            if header is None:
                self._unreadable.report(partition, record.offset)
                continue
            groups.setdefault(matcher.key(header), (header, []))[1].append(record.offset)
        return groups
