"""Random changes of a batch that keep its meaning.

Each is a module from a batch to a batch of the same shape, every row changed by amounts of its own.
They work on the device of the batch and draw from torch's generator. Chain them with
`torch.nn.Sequential`.
"""

from ._images import ColorJitter, RandomAffine, RandomErasing, RandomFlip

__all__ = ["ColorJitter", "RandomAffine", "RandomErasing", "RandomFlip"]
