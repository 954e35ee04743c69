"""What has been deleted: keeps deleted events out of the log, and out of what is handed out (wire contract 4.3)."""

import logging
from datetime import datetime
from typing import Final

from dispatcher_sdk.models import ZERO_TIME, AnyEvent, BinaryEvent, DeleteEvent, InsertEvent, decode

from dispatcher.eventlog.base import Record

ACTIONS: Final = ("submission", "author", "link", "ids")

_log = logging.getLogger(__name__)


class Deletions:
    """Everything that delete events have named so far. Applying an event twice changes nothing.

    Grows with the delete topic, which is kept for ever: about 100 bytes for each name in it.
    """

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._links: set[str] = set()
        self._authors: dict[str, datetime] = {}
        """Results older than this are gone."""
        self._submissions: dict[str, set[datetime]] = {}
        """Source times that are gone; ZERO_TIME stands for all of them."""

    @property
    def empty(self) -> bool:
        return not (self._ids or self._links or self._authors or self._submissions)

    def on_record(self, record: Record) -> None:
        """A record of the delete topic. Raises InvalidMessage. A tombstone brings nothing back."""
        if record.value is not None:
            event = decode("delete", record.value)
            assert isinstance(event, DeleteEvent)
            self.apply(event)

    def apply(self, event: DeleteEvent) -> None:
        """Empty names match nothing; an unknown action is logged and matches nothing."""
        match event.action:
            case "ids":
                self._delete_ids(event)
            case "link":
                self._delete_link(event)
            case "author":
                self._delete_author(event)
            case "submission":
                self._delete_submission(event)
            case _:
                _log.warning(
                    "delete event %s has the unknown action %.60r and deletes nothing; known: %s",
                    event.kafka_key,
                    event.action,
                    ", ".join(ACTIONS),
                    extra={"action": "delete"},
                )

    def purges(self, event: AnyEvent) -> bool:
        """Whether the event is deleted. Its key and tracking fields must be set. A status goes only by its key."""
        if event.kafka_key in self._ids:
            return True
        if isinstance(event, BinaryEvent):
            return (
                self._purges_submission(event)
                or not self._links.isdisjoint(event.track_links)
                or (bool(self._authors) and self._purges_author(event.track_authors, event.timestamp))
            )
        if isinstance(event, InsertEvent):
            return event.track_link in self._links or self._purges_author([event.track_author], event.timestamp)
        return False

    def _purges_submission(self, event: BinaryEvent) -> bool:
        times = self._submissions.get(event.track_source_references)
        return times is not None and (ZERO_TIME in times or event.source.timestamp in times)

    def _purges_author(self, authors: list[str], timestamp: datetime) -> bool:
        return any(timestamp < self._authors.get(author, ZERO_TIME) for author in authors)

    def _delete_ids(self, event: DeleteEvent) -> None:
        if event.entity.ids:
            self._ids.update(filter(None, event.entity.ids.ids))

    def _delete_link(self, event: DeleteEvent) -> None:
        if event.entity.link and event.entity.link.track_link:
            self._links.add(event.entity.link.track_link)

    def _delete_author(self, event: DeleteEvent) -> None:
        author = event.entity.author
        if author and author.track_author:
            newest = max(author.timestamp, self._authors.get(author.track_author, ZERO_TIME))
            self._authors[author.track_author] = newest

    def _delete_submission(self, event: DeleteEvent) -> None:
        submission = event.entity.submission
        if submission and submission.track_source_references:
            self._submissions.setdefault(submission.track_source_references, set()).add(submission.timestamp)
