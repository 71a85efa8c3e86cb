"""Files of arrays and JSON, for saved models and for checkpoints: nothing in them can be run."""

from ._files import FORMAT, Damaged, Foreign, dumps, loads, partial_files, write_file
from ._modules import ORIGIN, Missing, descendants, qualified_name
from ._reader import Reader
from ._writer import Writer

__all__ = [
    "FORMAT",
    "ORIGIN",
    "Damaged",
    "Foreign",
    "Missing",
    "Reader",
    "Writer",
    "descendants",
    "dumps",
    "loads",
    "partial_files",
    "qualified_name",
    "write_file",
]
