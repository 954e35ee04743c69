"""What is in the log, read as any client reads it: by passive fetches of a subscriber of its own."""

from collections import Counter
from collections.abc import Sequence

import aiohttp

from tests.e2e.ledger.facts import FINAL, Event, Wants, key_of, place_of

_PAGE = "1000"


class Log:
    """Reads on from page to page. Start it after the last kill: a crash may repeat a page.

    A long poll ends with the page or after a second, so reading on is how to wait for news.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str) -> None:
        self._session = session
        self._url = url
        self._name = name
        self.binaries: list[Event] = []
        self.statuses: list[Event] = []
        self.plugins: list[Event] = []

    async def read_on(self) -> None:
        """One page of each model at least, and all that was there when this was called."""
        await self._pages("plugin", self.plugins, 0)
        await self._pages("status", self.statuses, 1)
        await self._pages("binary", self.binaries, 0)

    async def _pages(self, model: str, found: list[Event], deadline: int) -> None:
        while page := await self._page(model, deadline):
            found += page

    async def _page(self, model: str, deadline: int) -> Sequence[Event]:
        url = f"{self._url}/api/v2/event/{model}/passive"
        query = {"name": self._name, "version": "1", "r-historic": "true", "count": _PAGE, "deadline": str(deadline)}
        async with self._session.get(url, params=query, headers={"Accept": "application/json"}) as reply:
            assert reply.status == 200, await reply.text()
            events: list[Event] = (await reply.json())["events"]
            return events

    def open_pairs(self, plugins: Sequence[Wants], *, compacted: bool) -> int:
        """(event, plugin) pairs that are still without a final status; see `pairs`."""
        pairs = (self.pairs(plugin, compacted=compacted) for plugin in plugins)
        return sum((wanted - ended).total() for wanted, ended in pairs)

    def pairs(self, plugin: Wants, *, compacted: bool) -> tuple[Counter[str], Counter[str]]:
        """(wanted, ended) by key. Whether copies of an event are seen one by one is a matter of luck where the log
        is compacted: there each key counts once."""
        wanted, ended = self.wanted(plugin), self.ended(plugin)
        return (Counter(wanted.keys()), Counter(ended.keys())) if compacted else (wanted, ended)

    def wanted(self, plugin: Wants) -> Counter[str]:
        """How often each key lies in the log for this plugin."""
        return Counter(event["kafka_key"] for event in self.binaries if plugin.matches(event))

    def ended(self, plugin: Wants) -> Counter[str]:
        """At how many places of each key the plugin said a last word."""
        tokens = {place_of(token)[0]: token for token in self._last_words(plugin)}
        return Counter(map(key_of, tokens.values()))

    def _last_words(self, plugin: Wants) -> list[str]:
        return [
            status["entity"]["input"]["dequeued"]
            for status in self.statuses
            if status["author"]["name"] == plugin.name and status["entity"]["status"] in FINAL
        ]
