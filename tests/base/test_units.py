"""Rows in other units than those of the fit are told."""

import warnings

import numpy as np
import pytest

from skdeepcluster import AutoencoderClustering

SETTINGS = {"latent_dim": 2, "hidden_layer_sizes": (8,), "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (60, 16), dtype=np.uint8)


@pytest.fixture(scope="module")
def of_pixels(pixels):
    return AutoencoderClustering(2, **SETTINGS).fit(pixels)


def test_pixels_divided_by_255_are_told(of_pixels, pixels):
    with pytest.warns(UserWarning, match=r"in 0\.\.1, .* in 0\.\.255: about 255 times smaller"):
        of_pixels.predict(pixels / 255)
    with pytest.warns(UserWarning, match="times smaller"):
        of_pixels.predict(pixels[:1] / 255)


def test_pixels_up_to_255_are_told(pixels):
    model = AutoencoderClustering(2, **SETTINGS).fit(pixels / 255)
    with pytest.warns(UserWarning, match="about 255 times larger"):
        model.transform(pixels)


def test_standardised_rows_are_told():
    rows = np.random.default_rng(0).normal(1000, 100, (60, 4))
    model = AutoencoderClustering(2, **SETTINGS).fit(rows)
    with pytest.warns(UserWarning, match="times smaller"):
        model.predict((rows - 1000) / 100)


def test_rows_of_the_fit_and_their_like_are_not(of_pixels, pixels):
    """One row, one that is black, a darker half, and another type."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (pixels[:1], 0 * pixels[:1], pixels // 4, pixels.astype(float)):
            of_pixels.predict(rows)
