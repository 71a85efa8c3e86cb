"""Encoders, decoders and critics, one at a time or many in one computation."""

from ._features import make_feature_encoder
from ._grouped import make_grouped, slots
from ._ladder import (
    Choice as Choice,
    Discriminator,
    HierarchicalDecoder,
    HierarchicalEncoder,
    Levels,
    OwnDiscriminator as OwnDiscriminator,
)
from ._networks import make_critic, make_decoder, make_encoder, make_mlp
from ._pooled import make_pooled_decoder, make_pooled_encoder

__all__ = [
    "Discriminator",
    "HierarchicalDecoder",
    "HierarchicalEncoder",
    "Levels",
    "make_critic",
    "make_decoder",
    "make_encoder",
    "make_feature_encoder",
    "make_grouped",
    "make_mlp",
    "make_pooled_decoder",
    "make_pooled_encoder",
    "slots",
]
