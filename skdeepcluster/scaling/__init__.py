"""What the columns of rows hold, and the map from the user's units to the networks' and back."""

from ._columns import CATEGORY, FLAG, NUMERIC, Segments, chunks, extremes
from ._scaling import Mode, Scaling, fit_scaling

__all__ = [
    "CATEGORY",
    "FLAG",
    "NUMERIC",
    "Mode",
    "Scaling",
    "Segments",
    "chunks",
    "extremes",
    "fit_scaling",
]
