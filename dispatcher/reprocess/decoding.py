"""Values of records as older installations wrote them: JSON is ours, Avro is the original's."""

from dispatcher_sdk.models import AnyEvent, InvalidMessage, decode

from dispatcher.avro import decode_event


def read_event(model: str, value: bytes) -> AnyEvent:
    """The event, promoted to the current version. Raises InvalidMessage; KeyError for an unknown model.

    A raw Avro record begins with its version, and none of these looks like the start of a JSON object.
    """
    if value.startswith(b"{"):
        return decode(model, value)
    try:
        return decode_event(model, value)
    except InvalidMessage as why:
        raise InvalidMessage(f"neither JSON nor Avro: {why}") from None
