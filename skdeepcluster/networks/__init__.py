"""Encoders, decoders and critics, one at a time or many in one computation."""

from ._grouped import make_grouped
from ._hierarchy import Discriminator, HierarchicalDecoder, HierarchicalEncoder, Levels
from ._networks import make_critic, make_decoder, make_encoder, make_mlp

__all__ = [
    "Discriminator",
    "HierarchicalDecoder",
    "HierarchicalEncoder",
    "Levels",
    "make_critic",
    "make_decoder",
    "make_encoder",
    "make_grouped",
    "make_mlp",
]
