"""Displays of fitted estimators, in the manner of :mod:`sklearn`'s Display classes.

A display holds arrays and draws them; ``from_estimator`` computes those arrays from anything that
has the methods it needs. matplotlib is imported when something is drawn.
"""

from ._codes import CodeMapDisplay
from ._contact import ContactSheetDisplay
from ._contingency import ContingencyDisplay
from ._history import HistoryDisplay
from ._profile import ProfileDisplay
from ._samples import SampleGridDisplay
from ._stability import StabilityDisplay

__all__ = [
    "CodeMapDisplay",
    "ContactSheetDisplay",
    "ContingencyDisplay",
    "HistoryDisplay",
    "ProfileDisplay",
    "SampleGridDisplay",
    "StabilityDisplay",
]
