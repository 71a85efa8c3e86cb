"""Displays of fitted estimators, in the manner of :mod:`sklearn`'s Display classes.

A display holds arrays and draws them; ``from_estimator`` computes those arrays from anything that
has the methods it needs. matplotlib is imported when something is drawn.
"""

from ._codes import CodeMapDisplay
from ._samples import SampleGridDisplay

__all__ = ["CodeMapDisplay", "SampleGridDisplay"]
