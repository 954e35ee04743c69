"""Avro, which Go clients speak at the edge and the original wrote to its log. Our own log holds JSON."""

from dispatcher.avro.bulk import encode_bulk, iter_bulk
from dispatcher.avro.single import decode_event, encode_event

__all__ = ["decode_event", "encode_bulk", "encode_event", "iter_bulk"]
