"""Encoders for classifiers."""

import pytest
import torch
from torch import nn

from skdeepcluster.networks import make_feature_encoder, make_grouped


@pytest.mark.parametrize(
    ("shape", "n_features"),
    [
        ((20,), 256),
        ((1, 8, 8), 64 * 16),
        ((1, 28, 28), 64 * 16),
        ((3, 32, 32), 64 * 16),
        ((3, 64, 48), 64 * 12),
        ((1, 9, 7), 64 * 20),
        ((1, 2, 2), 64 * 4),
        ((1, 1, 5), 64 * 5),
    ],
)
def test_features_of_rows_of_any_size(shape, n_features):
    encoder = make_feature_encoder(shape, 10)
    rows = torch.rand(3, *shape)
    assert encoder[:-1](rows).shape == (3, n_features)
    assert encoder(rows).shape == (3, 10)
    assert isinstance(encoder[-1], nn.Linear)


def test_several_are_one_computation():
    networks = [make_feature_encoder((1, 8, 8), 4) for _ in range(2)]
    rows = torch.rand(2, 5, 1, 8, 8)
    expected = torch.stack([net(x) for net, x in zip(networks, rows, strict=True)])
    torch.testing.assert_close(make_grouped(networks)(rows), expected, rtol=1e-3, atol=1e-4)


def test_widths_are_the_users():
    assert make_feature_encoder((1, 16, 16), 5, (8,))[:-1](torch.rand(2, 1, 16, 16)).shape == (
        2,
        512,
    )
    assert make_feature_encoder((7,), 5, (9, 11))[:-1](torch.rand(2, 7)).shape == (2, 11)


@pytest.mark.parametrize(
    ("shape", "widths", "message"),
    [((2, 3), "auto", "features"), ((1, 0, 4), "auto", "positive"), ((1, 8, 8), (0,), "positive")],
)
def test_what_cannot_be_built_is_refused(shape, widths, message):
    with pytest.raises(ValueError, match=message):
        make_feature_encoder(shape, 10, widths)
