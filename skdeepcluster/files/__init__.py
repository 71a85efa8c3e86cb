"""Files of arrays and JSON, for saved models and for checkpoints: nothing in them can be run."""

from ._files import (
    FORMAT as FORMAT,
    Damaged as Damaged,
    Foreign as Foreign,
    dumps,
    loads,
    partial_files as partial_files,
    write_file as write_file,
)
from ._modules import (
    ORIGIN as ORIGIN,
    Missing as Missing,
    descendants as descendants,
    qualified_name as qualified_name,
)
from ._reader import Reader
from ._writer import Writer

__all__ = [
    "Reader",
    "Writer",
    "dumps",
    "loads",
]
