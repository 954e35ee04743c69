"""Settings that a submitter gave for a limited depth are taken off deeper events (wire contract 4.1, step 7)."""

import logging
import re
from typing import Final

from dispatcher_sdk.models import BinaryEvent

DEPTH: Final = "remove_at_depth"

_log = logging.getLogger(__name__)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)


def remove_spent_settings(event: BinaryEvent) -> None:
    """Empty `source.settings` once the path is `remove_at_depth` long. After keying: the key still has them.

    The dictionary itself is left alone, as children share it with their parent.
    """
    depth = event.source.settings.get(DEPTH)
    if depth is None:
        return
    if not _INTEGER.fullmatch(depth):
        _log.warning("source.settings.%s is not a number: %.40r", DEPTH, depth, extra={"action": "remove-settings"})
    elif int(depth) <= len(event.source.path):
        event.source.settings = {}
