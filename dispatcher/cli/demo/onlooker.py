"""What plugins post, as an onlooker reads it: a passive fetch changes nothing for anybody else."""

import asyncio

import msgspec
from dispatcher_sdk.models import AnyEvent, FetchInfo, InvalidMessage, decode, decode_as

from dispatcher.cli.client import Client, ServerError

WANTED = {
    "status": "",
    "binary": "&r-action=extracted&r-action=augmented&r-action=mapped&r-action=enriched",
}
"""A job's end, and its results, which the server makes events of their own."""


class _Fetched(msgspec.Struct):
    info: FetchInfo
    events: list[msgspec.Raw]


async def news(client: Client, wait: int) -> list[AnyEvent]:
    """Statuses and results posted since the last call; waits up to `wait` seconds when there are none.

    The first call of all registers the onlooker: what was posted before it is not seen. Raises ServerError.
    """
    fetches = (_fetch(client, model, wait) for model in WANTED)
    return [event for events in await asyncio.gather(*fetches) for event in events]


async def _fetch(client: Client, model: str, wait: int) -> list[AnyEvent]:
    query = f"name=dispatcher-demo&version=1&r-live=true&count=1000&deadline={wait}{WANTED[model]}"
    body = await client.text(f"/api/v2/event/{model}/passive?{query}", accept="application/json")
    try:
        return [decode(model, raw) for raw in decode_as(_Fetched, body.encode()).events]
    except InvalidMessage as error:
        raise ServerError(f"a fetch of {model} events is not readable: {error}") from None
