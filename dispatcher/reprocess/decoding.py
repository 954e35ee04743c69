"""Values of records as older installations wrote them: JSON is ours, Avro is the original's."""

from dispatcher_sdk.models import AnyEvent, decode

from dispatcher.avro import decode_event


def read_event(model: str, value: bytes) -> AnyEvent:
    """The event, promoted to the current version. Raises InvalidMessage; KeyError for an unknown model.

    A raw Avro record begins with its version, and none of these looks like the start of a JSON object.
    """
    return decode(model, value) if value.startswith(b"{") else decode_event(model, value)
