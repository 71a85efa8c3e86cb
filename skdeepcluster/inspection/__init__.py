"""What a fitted clusterer found, as numbers.

All functions take any fitted clusterer, of this package or of scikit-learn, or what it found.
pandas is imported when :func:`cluster_report` is called.
"""

from ._clusters import (
    check_labels as check_labels,
    column_names as column_names,
    nearest_first,
)
from ._effects import effect_sizes
from ._report import cluster_report

__all__ = ["cluster_report", "effect_sizes", "nearest_first"]
