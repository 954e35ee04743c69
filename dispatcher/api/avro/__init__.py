"""Avro at the edge: Go clients speak nothing else. The log itself holds JSON."""

from dispatcher.api.avro.bulk import encode_bulk, iter_bulk

__all__ = ["encode_bulk", "iter_bulk"]
