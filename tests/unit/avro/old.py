"""What older clients and servers write."""

from io import BytesIO
from typing import Any

from dispatcher_sdk.models import AnyEvent
from fastavro import schemaless_writer

from dispatcher.avro.convert import to_plain
from dispatcher.avro.schemas import event_schema
from dispatcher.avro.tables import event_record


def old_record(model: str, version: int, event: AnyEvent) -> bytes:
    """The event as one raw Avro record of version 4, 5 or 6: a value in the log of the original."""
    out = BytesIO()
    plain = to_plain(event_record(model))(event)
    schemaless_writer(out, event_schema(model, version), plain if version == 6 else aged(plain, version))
    return out.getvalue()


def aged(plain: Any, version: int) -> Any:
    """A version 6 dictionary as it was in version 4 or 5."""
    if isinstance(plain, list):
        return [aged(item, version) for item in plain]
    if not isinstance(plain, dict):
        return plain
    changed = {key: aged(value, version) for key, value in plain.items()}
    if "model_version" in changed:
        changed["model_version"] = version
    if "file_format" in changed:
        changed["file_format_legacy"] = "Win32 EXE"
    return changed
