"""What a file is: the built-in enrichers of uploads, and the same for a file on disk."""

from dispatcher.streams.identify.builtin import builtin_enrichers, missing_parsers
from dispatcher.streams.identify.local import Identifier, identify_file

__all__ = ["Identifier", "builtin_enrichers", "identify_file", "missing_parsers"]
