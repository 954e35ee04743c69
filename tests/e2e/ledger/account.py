"""The ledger: holds what was promised against what is in the log, and gives a reason for everything twice."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.e2e.ledger.facts import (
    COMPLETED,
    FINAL,
    Event,
    Identity,
    Place,
    Wants,
    identity,
    key_of,
    place_of,
    results_of,
)
from tests.e2e.ledger.faults import Cut, Faults
from tests.e2e.ledger.log import Log
from tests.e2e.ledger.witness import Delivery, Post, Testimony

UNPACKER = "unpack-zip"
_TOLD = 30


@dataclass
class Account:
    """The outcome; `problems` is empty when nothing was lost and everything twice has its reason."""

    files: int = 0
    children: int = 0
    others: int = 0
    pairs: int = 0
    delivered: int = 0
    redelivered: Counter[str] = field(default_factory=Counter)
    """By cause."""
    finished: int = 0
    lost: int = 0
    in_flight: int = 0
    """Leases whose job was not over when something was killed."""
    done_twice: int = 0
    """Jobs with final statuses of two leases."""
    aged: int = 0
    """Events that the log was told to forget, and has."""
    posted_twice: int = 0
    """Events in the log once more, since their POST was cut off and sent again."""
    problems: list[str] = field(default_factory=list)

    def told(self) -> str:
        """The first problems, for a failing test."""
        return "\n".join([f"{len(self.problems)} problems; {self.line()}", *self.problems[:_TOLD]])

    def line(self) -> str:
        again = ", ".join(f"{times} {cause}" for cause, times in sorted(self.redelivered.items())) or "none"
        return (
            f"posted {self.files + self.children + self.others} ({self.files} files, {self.children} children, "
            f"{self.others} results), delivered {self.delivered}, redelivered {self.redelivered.total()} ({again}), "
            f"finished {self.finished} of {self.pairs}, lost {self.lost}; twice: {self.done_twice} jobs of "
            f"{self.in_flight} in flight at kills, {self.posted_twice} events of POSTs without an answer"
        )


def audit(
    log: Log, saw: Testimony, faults: Faults, plugins: Sequence[Wants], members: Mapping[str, Sequence[str]]
) -> Account:
    """`members` says what each archive holds."""
    account = Account()
    actions = Counter(event["action"] for event in log.binaries)
    account.files, account.children = actions.pop("sourced", 0), actions.pop("extracted", 0)
    account.others = actions.total()
    for check in (
        _posts(account, log, saw, faults),
        _pairs(account, log, saw, plugins, faults),
        _deliveries(account, saw, faults),
        _last_words(account, log, saw),
        _failures(log, faults.worker_kills),
        _children(log, members),
    ):
        account.problems += check
    return account


def _posts(account: Account, log: Log, saw: Testimony, faults: Faults) -> Iterator[str]:
    """What was acknowledged is in the log, and nothing is in it oftener than it was sent."""
    logged = Counter(_each("binary", log.binaries)) + Counter(_each("status", log.statuses))
    logged += Counter(_each("plugin", log.plugins))
    sent, kept = Counter(_sent(saw.posts)), Counter(_sent(post for post in saw.posts if post.answered_at))
    for event in kept.keys() - logged.keys():
        if event.source in faults.ageing:
            account.aged += 1
            continue
        account.lost += 1
        yield f"acknowledged and not in the log: {event}"
    for event, times in (logged - sent).items():
        yield f"in the log {times} times more than it was sent: {event}"
    account.posted_twice = (logged - _once(logged, kept)).total()
    for post in saw.posts:
        if post.refused and not faults.excuse(post):
            yield f"a POST of {post.model} was refused: {post.refused}"


def _once(logged: Counter[Identity], kept: Counter[Identity]) -> Counter[Identity]:
    return Counter({event: max(1, kept[event]) for event in logged})


def _each(model: str, events: Iterable[Event]) -> Iterator[Identity]:
    return (identity(model, event) for event in events)


def _sent(posts: Iterable[Post]) -> Iterator[Identity]:
    for post in posts:
        for event in post.events:
            yield identity(post.model, event)
            if post.model == "status":
                yield from _each("binary", results_of(event))


def _pairs(account: Account, log: Log, saw: Testimony, plugins: Sequence[Wants], faults: Faults) -> Iterator[str]:
    """Every event that matches a plugin was finished by it; none that does not match was given to it."""
    for plugin in plugins:
        wanted, ended = log.pairs(plugin, compacted=faults.compacted)
        if faults.ageing:  # what became of an event that was forgotten is no longer to be seen
            ended &= wanted
        account.pairs += wanted.total()
        account.finished += ended.total()
        for key, times in (wanted - ended).items():
            account.lost += times
            yield f"{times} x {key} has no final status of {plugin.name}"
        if faults.ageing:
            continue
        given = {key_of(delivery.token) for delivery in saw.deliveries if delivery.plugin == plugin.name}
        for key in given - wanted.keys():
            yield f"{plugin.name} was given {key}, which it does not want"
        for key, times in (ended - wanted).items():
            yield f"{plugin.name} finished {key} {times} times more than it lies in the log"


def _deliveries(account: Account, saw: Testimony, faults: Faults) -> Iterator[str]:
    """Whatever was handed out again had been lost with something that was killed, or given back."""
    over = _first_final(saw)
    jobs = [(delivery, over.get(delivery.place)) for delivery in saw.deliveries]
    flying = {cut: faults.in_flight(cut, jobs) for cut in faults.cuts}
    account.in_flight = len(set().union(*flying.values()))
    seen: dict[Place, Delivery] = {}
    for delivery, ended in jobs:
        account.delivered += 1
        before = seen.get(delivery.place)
        seen[delivery.place] = delivery
        if ended is not None and delivery.leased_at > ended:
            yield f"handed out {delivery.at - ended:.2f} s after its final status was acknowledged: {delivery.token}"
        if before is None and delivery.attempt == 1:
            continue
        cause = _cause(before, delivery, saw, flying)
        account.redelivered[cause or "for no known reason"] += 1
        if not cause:
            yield f"handed out again for no known reason: {delivery.token}, before: {before}"


def _cause(before: Delivery | None, again: Delivery, saw: Testimony, flying: Mapping[Cut, set[str]]) -> str:
    cuts = sorted((cut for cut in flying if cut.at < again.at), key=lambda cut: cut.at, reverse=True)
    if before is None:
        # The reply with an earlier attempt never came: only a server that was killed can have cut it off.
        return next((f"after {cut.what}, reply lost" for cut in cuts if not cut.plugin), "")
    if saw.released.get(before.token, again.at) < again.at:
        return "given back"
    causes = [cut for cut in cuts if before.token in flying[cut]]
    causes.sort(key=lambda cut: bool(cut.plugin) != (again.attempt > before.attempt))  # a dead client's lease expires
    return f"after {causes[0].what}" if causes else ""


def _first_final(saw: Testimony) -> dict[Place, float]:
    """When the first final status of a place was acknowledged."""
    over: dict[Place, float] = {}
    for post in saw.posts:
        if post.model != "status" or not post.answered_at:
            continue
        for event in post.events:
            if event["entity"]["status"] in FINAL:
                place, _, _ = place_of(event["entity"]["input"]["dequeued"])
                over[place] = min(post.answered_at, over.get(place, post.answered_at))
    return over


def _last_words(account: Account, log: Log, saw: Testimony) -> Iterator[str]:
    """One final status for each place; another only of a lease that was issued again, or of a POST cut off."""
    given = {delivery.token for delivery in saw.deliveries}
    tokens: dict[Place, Counter[str]] = defaultdict(Counter)
    for status in log.statuses:
        if status["entity"]["status"] in FINAL:
            token = status["entity"]["input"]["dequeued"]
            tokens[place_of(token)[0]][token] += 1
    cut_off = Counter(
        event["entity"]["input"]["dequeued"]
        for post in saw.posts
        if post.model == "status" and not post.answered_at
        for event in post.events
        if event["entity"]["status"] in FINAL
    )
    for place, said in tokens.items():
        account.done_twice += len(said) - 1
        for token, times in said.items():
            if token not in given:
                yield f"a final status of a lease that nobody was given: {token}"
            if times - 1 > cut_off[token]:
                yield f"{times} final statuses of one lease, {cut_off[token]} POSTs of it cut off: {token} ({place})"
    if account.done_twice > account.in_flight:
        yield f"{account.done_twice} jobs were done twice, and {account.in_flight} were in flight at kills"


def _failures(log: Log, worker_kills: int) -> Iterator[str]:
    """Real files make no plugin fail; a job whose worker was killed says so."""
    failed = [status["entity"] for status in log.statuses if status["entity"]["status"] in FINAL - COMPLETED]
    for entity in failed:
        if "SIGKILL" not in entity.get("error", ""):
            yield f"a job ended in {entity['status']}: {entity.get('error')}"
    if len(failed) > worker_kills:
        yield f"{len(failed)} jobs failed and {worker_kills} workers were killed"


def _children(log: Log, members: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Everything in an archive that was unpacked is an event of its own below it."""
    known = set(_each("binary", log.binaries))
    unpacked = {
        key_of(status["entity"]["input"]["dequeued"])
        for status in log.statuses
        if status["author"]["name"] == UNPACKER and status["entity"]["status"] in COMPLETED
    }
    for event in log.binaries:
        if event["kafka_key"] not in unpacked or event["action"] not in ("sourced", "extracted"):
            continue
        parent = identity("binary", event)
        for member in members[event["entity"]["sha256"]]:
            if parent._replace(way=(*parent.way, (UNPACKER, "extracted", member))) not in known:
                yield f"{member} was unpacked from {parent} and is no event"
