"""What every process that publishes is made of: the server, and commands that write to its log."""

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from dispatcher_sdk.models import AnyEvent

from dispatcher.errors import StartupError
from dispatcher.eventlog.base import EventLog, LogUnavailable, TopicRefused
from dispatcher.eventlog.follow import Follower
from dispatcher.eventlog.topics import TopicNames
from dispatcher.hooks.builtin import BuiltinHooks
from dispatcher.hooks.manager import HookManager
from dispatcher.hooks.options import GivenOptions
from dispatcher.hooks.types import HookContext, Notify, ObjectStore
from dispatcher.metrics import Metrics
from dispatcher.publish.children import CopyStream, Inserts
from dispatcher.publish.deletes import Deletions
from dispatcher.publish.keys import kafka_key
from dispatcher.publish.publisher import Publisher
from dispatcher.publish.sources import Sources
from dispatcher.publish.topics import TopicPlan
from dispatcher.settings import Settings


class Assembly:
    """Names, sources, topics, hooks, and what deletions and inserts say, all from one set of settings.

    Raises StartupError when a document among the settings has a mistake.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        *,
        packages: Sequence[object] = (),
        inserts: Inserts | None = None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self.names = TopicNames(settings.kafka_topic_prefix)
        self.sources = Sources.from_yaml(settings.sources_helm, strict=settings.sources_strict)
        self.plan = TopicPlan.from_settings(settings, self.names, self.sources)
        self.deletions = Deletions()
        self.inserts = Inserts() if inserts is None else inserts
        services = {"clock": clock, "sources": self.sources, "deletions": self.deletions}
        self.hooks = HookManager(
            HookContext(settings=settings.model_dump(), services=services),
            builtins=[BuiltinHooks()],
            packages=packages,
            required=settings.hooks_required,
            disabled=settings.hooks_disabled,
            budget=settings.hooks_call_seconds,
            folder=Path(settings.hooks_dir) if settings.hooks_dir else None,
            entry_points=None if settings.hooks_installed else (),
            options=GivenOptions.of(settings.hook_variables, settings.hooks_options),
        )

    async def make_topics(self, events: EventLog) -> None:
        """Raises StartupError."""
        try:
            await events.ensure_topics(self.plan.at_start())
        except (TopicRefused, LogUnavailable) as why:
            raise StartupError(str(why)) from None

    async def follow(self, stack: AsyncExitStack, events: EventLog) -> None:
        """Returns when every deletion and insert of this log is known; later ones are learned of by themselves."""
        for name, state in (("delete", self.deletions), ("insert", self.inserts)):
            follower = Follower(events, self.names.system(name), state.on_record)
            stack.push_async_callback(follower.close)
            await follower.start()

    async def open_store(self, stack: AsyncExitStack) -> ObjectStore:
        """The store of file contents; the hooks must be loaded. Raises StartupError."""
        url = self._settings.store_url
        scheme = url.partition(":")[0]
        factory = self.hooks.stores.get(scheme)
        if factory is None:
            known = ", ".join(sorted(self.hooks.stores))
            raise StartupError(f"DISPATCHER_STORE: no store for {scheme}: URLs; there are: {known}")
        store = await factory(url)
        stack.push_async_callback(store.close)
        return store

    async def open_publisher(
        self,
        stack: AsyncExitStack,
        events: EventLog,
        copy_stream: CopyStream,
        key: Callable[[AnyEvent], str] = kafka_key,
        notify: Notify | None = None,
    ) -> Publisher:
        """The hooks must be loaded."""
        publisher = Publisher(
            log=events,
            names=self.names,
            plan=self.plan,
            sources=self.sources,
            deletions=self.deletions,
            inserts=self.inserts,
            copy_stream=copy_stream,
            enrichers=self.hooks.event_enrichers,
            metrics=self._metrics,
            message_max_bytes=self._settings.message_max_bytes,
            clock=self._clock,
            labels=self._metrics.plugins,
            key=key,
            notify=notify,
        )
        await publisher.start()
        stack.push_async_callback(publisher.close)
        return publisher
