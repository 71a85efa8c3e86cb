"""What the tests of heads share: codes, and the laws that every head obeys."""

import random
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.datasets import make_blobs

from skdeepcluster.heads import make_head

N_CLUSTERS = 4


def name_of(head):
    return head if isinstance(head, str) else type(head).__name__


def as_codes(centers, n_rows=160, std=1.0, seed=0):
    return make_blobs(n_rows, centers=centers, cluster_std=std, random_state=seed)


def fitted(head, codes, n_clusters=N_CLUSTERS, **params):
    return make_head(head, n_clusters, random_state=0, **params).fit(codes)


@contextmanager
def globals_untouched():
    """Global generators and the number of threads are afterwards as they were before."""

    def states():
        _, key, *position = np.random.get_state()
        generators = [key.tolist(), position, random.getstate(), torch.get_rng_state().tolist()]
        return [*generators, torch.get_num_threads()]

    before = states()
    yield
    assert states() == before


def in_tiles(function, codes, size):
    """Apply a function to tiles of one size, the last one padded with its last row."""
    parts = []
    for begin in range(0, len(codes), size):
        rows = np.minimum(np.arange(begin, begin + size), len(codes) - 1)
        parts.append(function(codes[rows])[: len(codes) - begin])
    return np.concatenate(parts)


def assert_laws(head, codes, new_codes):
    """Labels are predictions, consecutive, and nobody's neighbours matter."""
    np.testing.assert_array_equal(head.labels_, head.predict(codes))
    np.testing.assert_array_equal(
        np.unique(head.labels_[head.labels_ >= 0]), range(head.n_clusters_)
    )
    assert head.cluster_centers_.shape == (head.n_clusters_, codes.shape[1])
    assert_row_independent(head.predict, codes)
    assert_row_independent(head.predict, new_codes)
    if hasattr(head, "predict_proba"):
        shares = head.predict_proba(new_codes)
        assert shares.shape == (len(new_codes), head.n_clusters_)
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=0, atol=1e-12)
        np.testing.assert_array_equal(shares.argmax(axis=1), head.predict(new_codes))
        assert_row_independent(head.predict_proba, new_codes)


def assert_row_independent(function, codes):
    expected = function(codes)
    order = np.random.default_rng(0).permutation(len(codes))
    np.testing.assert_array_equal(function(codes[order]), expected[order])
    np.testing.assert_array_equal(function(codes[::3]), expected[::3])
    np.testing.assert_array_equal(function(codes[7:8]), expected[7:8])
    for size in (32, 256):
        np.testing.assert_array_equal(in_tiles(function, codes, size), expected)
