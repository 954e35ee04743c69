"""Bounds on what one job may hand out. Past a count the first are kept and the status says so."""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

CONTENT_BYTES: Final = 200 * MIB
"""Largest file that a plugin is given unless it asks for another bound."""
FEATURES: Final = 10_000
FEATURE_CHARACTERS: Final = 4_000
FEATURE_BYTES: Final = MIB
"""Of all features of one job together, as JSON: they must fit into one status with the rest."""
CHILDREN: Final = 1_000
STREAMS: Final = 100
OUTPUT_BYTES: Final = 1024 * MIB
"""Of all children and streams of one job together."""
INFO_BYTES: Final = 256 * KIB
PROBLEMS: Final = 100
TEXT_CHARACTERS: Final = 1_000
"""File names, relationship keys and values, labels of features, opt-out reasons."""
MESSAGE_CHARACTERS: Final = 16_000
"""Tracebacks and lists of problems."""
STATUS_BYTES: Final = 2 * MIB - 512
"""Of one status with all its results: what every known client and server still accepts."""
FRAME_BYTES: Final = 64 * MIB
"""Of one message between the runner and a worker process."""
