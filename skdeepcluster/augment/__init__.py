"""Random changes of a batch that keep its meaning.

Each is a module from a batch to a batch of the same shape, every row changed by amounts of its own.
They work on the device of the batch and draw from torch's generator. Chain them with
`torch.nn.Sequential`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from ._images import ColorJitter, RandomAffine, RandomErasing, RandomFlip

__all__ = ["ColorJitter", "RandomAffine", "RandomErasing", "RandomFlip", "augmentation_for"]


def augmentation_for(
    augment: str | Callable[[Tensor], Tensor] | None, input_shape: Sequence[int]
) -> Callable[[Tensor], Tensor] | None:
    """Return what the parameter `augment` means for rows of a shape.

    Parameters
    ----------
    augment : "auto", callable or None
        "auto" is `RandomAffine` for images, and None for other rows.
    input_shape : sequence of int
        (d,), or (channels, height, width) of images.

    Returns
    -------
    augmentation : callable or None
        Changes a batch at random.

    Examples
    --------
    >>> augmentation_for("auto", (1, 8, 8))
    RandomAffine()
    >>> augmentation_for("auto", (4,)) is None
    True
    """
    if isinstance(augment, str):
        return RandomAffine() if len(input_shape) == 3 else None
    return augment
