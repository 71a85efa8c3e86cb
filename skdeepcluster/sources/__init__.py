"""Rows that stay where they are: read some at a time, in order or shuffled by chunks."""

from ._chunked import ChunkedRows, open_source
from ._shuffled import shuffled

__all__ = ["ChunkedRows", "open_source", "shuffled"]
