"""Deep clustering methods as scikit-learn estimators."""

from skdeepcluster.estimators import *  # noqa: F403 - what is public is listed there alone
from skdeepcluster.estimators import __all__ as __all__

__version__ = "0.1.0"
