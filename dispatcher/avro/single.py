"""One event as one raw Avro record: what the original keeps as the value of a record in its log."""

from io import BytesIO

from dispatcher_sdk.models import AnyEvent, InvalidMessage, promote
from fastavro import schemaless_reader, schemaless_writer

from dispatcher.avro.convert import to_plain, to_struct
from dispatcher.avro.schemas import event_schema
from dispatcher.avro.tables import CURRENT, OLDEST, event_record
from dispatcher.avro.varint import read_long


def encode_event(model: str, event: AnyEvent) -> bytes:
    """The event at the current version. Raises KeyError for an unknown model."""
    out = BytesIO()
    schemaless_writer(out, event_schema(model, CURRENT), to_plain(event_record(model))(event))
    return out.getvalue()


def decode_event(model: str, data: bytes) -> AnyEvent:
    """An event of version 4, 5 or 6, promoted to the current one.

    Raises InvalidMessage, and nothing else, for all that is not exactly one such record; KeyError for an unknown model.
    """
    version, _ = read_long(data, 0)
    if not OLDEST < version <= CURRENT:
        version = OLDEST
    schema, struct = event_schema(model, version), to_struct(event_record(model), version)
    source = BytesIO(data + b"\0")  # not every fastavro tells a short read: it would end past the data then
    try:
        plain = schemaless_reader(source, schema, None)
    except Exception as problem:  # a native parser on a stranger's bytes
        raise InvalidMessage(f"not a version {version} {model} event: {str(problem)[:200]}") from None
    if source.tell() != len(data):
        raise InvalidMessage(f"a version {version} {model} event ends at byte {source.tell()} of {len(data)}")
    return promote(struct(plain))
