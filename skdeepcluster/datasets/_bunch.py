"""What all loaders return."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from sklearn.utils import Bunch

RandomState: TypeAlias = int | np.random.RandomState | None
Rows: TypeAlias = NDArray[Any] | sparse.csr_matrix
XY: TypeAlias = tuple[Rows, NDArray[np.int64]]


def make_bunch(
    data: Rows,
    target: ArrayLike,
    target_names: ArrayLike,
    description: str,
    image_shape: Sequence[int] | None = None,
) -> Bunch:
    """Pack flat rows; where they are images, give the same memory the shape of images too."""
    bunch = Bunch(
        data=data,
        target=np.asarray(target, dtype=np.int64),
        target_names=np.asarray(target_names),
        DESCR=description,
    )
    if image_shape is not None:
        bunch.images = data.reshape(-1, *image_shape)
    return bunch


def bunch_or_pair(bunch: Bunch, return_X_y: bool) -> Bunch | XY:
    """Return ``(data, target)`` instead of the whole bunch, if the caller wants no more."""
    return (bunch.data, bunch.target) if return_X_y else bunch
