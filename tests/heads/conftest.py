"""Fixtures for the tests of heads."""

import numpy as np
import pytest
import umap
from head_laws import as_codes


@pytest.fixture(scope="session")
def blobs():
    """Four clusters in three dimensions, far enough apart for every head."""
    return as_codes(12 * np.vstack([np.eye(3), -np.ones(3)]))


@pytest.fixture(scope="session")
def new_codes():
    """Codes between and around the clusters: 300 rows, more than one tile."""
    return np.random.default_rng(1).normal(scale=10, size=(300, 3))


class FakeUMAP(umap.UMAP):
    """Keep the settings, and return the codes' first column doubled, as coordinates."""

    settings: dict

    def __init__(self, **settings):
        super().__init__(**settings)
        FakeUMAP.settings = settings

    def fit_transform(self, codes):
        return 2 * codes[:, :1]


@pytest.fixture
def fake_umap(monkeypatch):
    monkeypatch.setattr(umap, "UMAP", FakeUMAP)
    return FakeUMAP
