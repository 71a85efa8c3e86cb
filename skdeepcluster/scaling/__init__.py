"""What the columns of rows hold, and the map from the user's units to the networks' and back."""

from ._columns import chunks as chunks, extremes as extremes
from ._scaling import Mode as Mode, Scaling, fit_scaling

__all__ = ["Scaling", "fit_scaling"]
