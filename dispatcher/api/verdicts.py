"""The reply to a POST of events, from what became of them (wire contract 1.4 and section 10)."""

from typing import Final

from aiohttp import web

from dispatcher.api.replies import json_reply, to_json
from dispatcher.errors import AGED_OFF_ENUM, FILTERED_ENUM, BadRequest, NothingPublished
from dispatcher.publish.outcome import Outcome

_ONE_EVENT: Final = b'{"total_ok":1,"total_failures":0,"failures":[]}'


def publish_reply(model: str, outcome: Outcome, include_ok: bool) -> web.Response:
    """200 with the counts. Raises NothingPublished when no event went through, BadRequest when that is because
    their sources are not known here."""
    if not outcome.published and not _filtered_status(model, outcome):
        raise _nothing_published(outcome)
    return json_reply(_body(outcome, include_ok))


def _filtered_status(model: str, outcome: Outcome) -> bool:
    """A status may be dropped for the age of its source, but the plugin that sent it did nothing wrong, and
    an unmodified runner dies of a 425."""
    return model == "status" and not outcome.failures and outcome.parsed > 0


def _nothing_published(outcome: Outcome) -> Exception:
    first = outcome.failures[0].error if outcome.failures else ""
    if (
        outcome.refused
        and outcome.refused == len(outcome.failures) + outcome.unlisted
        and not outcome.aged_off + outcome.deleted
    ):
        return BadRequest(first)
    return NothingPublished(first, enum=AGED_OFF_ENUM if outcome.aged_off else FILTERED_ENUM)


def _body(outcome: Outcome, include_ok: bool) -> bytes:
    if outcome.parsed == 1 and not outcome.failures and not include_ok:
        return _ONE_EVENT
    ok = b',"ok":[' + b",".join(outcome.ok) + b"]" if include_ok and outcome.ok else b""
    return b'{"total_ok":%d,"total_failures":%d,"failures":%b%b}' % (
        outcome.parsed,
        len(outcome.failures) + outcome.unlisted,
        to_json(outcome.failures),
        ok,
    )
