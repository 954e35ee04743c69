"""Age, deletions and gjson paths, judged when an event is about to be handed out."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from dispatcher_sdk.models import BinaryEvent, Feature, Source, StatusEntity, StatusEvent, decode, encode

from dispatcher.delivery.event_filters import FilterPreviouslyDeleted, GjsonFilter, PipelineAgeoff
from dispatcher.delivery.gjson import PathError, TooMuchWork
from dispatcher.hooks.header import Header, header_of
from dispatcher.hooks.types import EventFilter, EventView, Subscription

MODELS = ("binary", "delete", "download", "insert", "plugin", "retrohunt", "status")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class View:
    """An event on its way, without a log."""

    value: bytes
    header: Header
    topic: str = "azul.test.web.binary.sourced"
    key: bytes = b"key"
    decoded: int = field(default=0)

    def event(self):
        self.decoded += 1
        return decode("binary", self.value)


def view_of(event) -> EventView:
    return View(encode(event), header_of(event))


def asked(model="binary", *paths):
    return Subscription("reader", "1", model, gjson=paths)


def sourced(source="web", when=NOON, **entity):
    event = BinaryEvent(model_version=6, source=Source(name=source, timestamp=when))
    for name, value in entity.items():
        setattr(event.entity, name, value)
    return event


class Clock:
    def __init__(self, now):
        self.now = now

    def __call__(self):
        return self.now.timestamp()


async def test_an_event_ages_off_when_its_time_is_over_and_not_before():
    clock = Clock(NOON + timedelta(seconds=60))
    ageoff = PipelineAgeoff({"web": 60.0}.get, clock)
    view = view_of(sourced())
    assert await ageoff.reject(view, asked()) is None
    clock.now += timedelta(microseconds=1000)
    assert await ageoff.reject(view, asked()) == "ageoff"


async def test_events_of_other_sources_and_of_the_future_stay():
    clock = Clock(NOON + timedelta(days=9))
    ageoff = PipelineAgeoff({"web": 60.0}.get, clock)
    assert await ageoff.reject(view_of(sourced("mail")), asked()) is None
    assert await ageoff.reject(view_of(sourced(when=NOON + timedelta(days=900))), asked()) is None


async def test_a_status_ages_off_with_the_event_that_it_is_about():
    status = StatusEvent(model_version=6, entity=StatusEntity(input=sourced(), status="completed"), timestamp=NOON)
    ageoff = PipelineAgeoff({"web": 60.0}.get, Clock(NOON + timedelta(hours=1)))
    assert await ageoff.reject(view_of(status), asked("status")) == "ageoff"


def test_only_binary_and_status_subscribers_are_asked_about_age():
    ageoff = PipelineAgeoff({}.get, Clock(NOON))
    assert {model for model in MODELS if ageoff.applies(asked(model))} == {"binary", "status"}


async def test_deleted_events_are_kept_back_and_nothing_is_decoded_while_nothing_is_deleted():
    deleted: set[str] = set()
    rule = FilterPreviouslyDeleted(lambda event: event.source.name in deleted, lambda: not deleted)
    view = view_of(sourced())
    assert not rule.applies(asked())
    assert view.decoded == 0
    deleted.add("mail")
    assert rule.applies(asked())
    assert await rule.reject(view, asked()) is None
    deleted.add("web")
    assert await rule.reject(view, asked()) == "deleted"


def test_gjson_costs_nothing_for_those_who_do_not_use_it():
    assert not GjsonFilter().applies(asked())
    assert GjsonFilter().applies(asked("binary", "entity.sha256"))


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("source.name", True),
        ("source.nothing", False),
        ("info.zero", True),
        ("info.empty_text", True),
        ("info.empty_object", True),
        ("info.yes", True),
        ("info.no", False),
        ("info.null", False),
        ("info.empty_array", False),
        ("info.array_of_null", True),
        ('features.#(name=="mime")', True),
        ('features.#(name=="magic")', False),
        ('features.#(name=="magic")#', False),
        ('features.#(name=="mime")#.value', True),
        ('features.#(value%"text/*")', True),
        ('features.#(value%"image/*")', False),
        ("info.infinite", True),
    ],
)
async def test_kept_when_the_path_leads_to_something(path, kept):
    event = sourced(features=[Feature(name="mime", value="text/plain", type="string")])
    info = (
        b'{"zero":0,"empty_text":"","empty_object":{},"yes":true,"no":false,"null":null,"empty_array":[],'
        b'"array_of_null":[null],"infinite":1e999}'
    )
    value = encode(event).replace(b'"features"', b'"info":' + info + b',"features"')
    path = path if path.startswith("source") else f"entity.{path}"
    verdict = await GjsonFilter().reject(View(value, header_of(event)), asked("binary", path))
    assert verdict == (None if kept else "reject_filter")


async def test_all_paths_must_lead_somewhere():
    view = view_of(sourced(sha256="ab"))
    assert await GjsonFilter().reject(view, asked("binary", "entity.sha256", "source.name")) is None
    assert await GjsonFilter().reject(view, asked("binary", "entity.sha256", "entity.nope")) == "reject_filter"


async def test_it_is_reported_under_the_name_that_clients_know():
    verdict = await GjsonFilter().reject(view_of(sourced()), asked("binary", "nope"))
    assert f"{GjsonFilter.name}-{verdict}" == "FilterConsumerRules-reject_filter"


async def test_a_bad_path_and_too_much_work_hold_the_event_back():
    with pytest.raises(PathError, match="is not closed"):
        await GjsonFilter().reject(view_of(sourced()), asked("binary", "a.#(b"))
    event = sourced(features=[Feature(name="a", value="b", type="string")] * 3000)
    each = "entity.features." + ".".join(['#(name=="a")#'] * 10)
    paths = [f"{each}.x{number}|#" for number in range(40)]
    with pytest.raises(TooMuchWork):
        await GjsonFilter().reject(view_of(event), asked("binary", *paths))


def test_all_are_event_filters():
    for rule in (PipelineAgeoff({}.get, Clock(NOON)), FilterPreviouslyDeleted(bool, bool), GjsonFilter()):
        assert isinstance(rule, EventFilter)
