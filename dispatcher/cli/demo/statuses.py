"""What plugins post, as an onlooker reads it: a passive fetch changes nothing for anybody else."""

import msgspec
from dispatcher_sdk.models import FetchInfo, InvalidMessage, StatusEvent, decode, decode_as

from dispatcher.cli.client import Client, ServerError

PATH = "/api/v2/event/status/passive?name=dispatcher-demo&version=1&r-live=true&count=1000&deadline={}"


class _Fetched(msgspec.Struct):
    info: FetchInfo
    events: list[msgspec.Raw]


async def fetch_statuses(client: Client, wait: int) -> list[StatusEvent]:
    """Statuses posted since the last call, waiting up to `wait` seconds for the first. Raises ServerError.

    The first call of all registers the onlooker: what was posted before it is not seen.
    """
    body = await client.text(PATH.format(wait), accept="application/json")
    try:
        fetched = decode_as(_Fetched, body.encode())
        events = [decode("status", raw) for raw in fetched.events]
    except InvalidMessage as error:
        raise ServerError(f"a fetch of statuses is not readable: {error}") from None
    return [event for event in events if isinstance(event, StatusEvent)]
