"""Clusters that training starts from: their centres, and how far it goes from them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster.engine.table import Table
from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models import clusters
from skdeepcluster.models.clusters import fit_kmeans, fit_mixture
from skdeepcluster.models.starts import agreement, label_centers, warn_of_departure


def test_starts_look_at_a_sample_of_many_codes(monkeypatch):
    codes = torch.cat([torch.randn(100, 2), torch.randn(100, 2) + 9]).float()
    table = Table(codes.numpy(), weight=torch.ones(200))
    centers = fit_kmeans(codes, table, 2, n_init=1, seed=0).cluster_centers_
    monkeypatch.setattr(clusters, "MAX_SAMPLES", 60)
    kmeans = fit_kmeans(codes, table, 2, n_init=1, seed=0)
    assert len(kmeans.labels_) == 60
    np.testing.assert_allclose(np.sort(kmeans.cluster_centers_, 0), np.sort(centers, 0), atol=1)
    *_, variances = fit_mixture(codes, table, 2, lambda rows: rows.new_tensor(1e-6), seed=0)
    assert variances.shape == (2, 2)


def test_centres_are_weighted_means_without_the_rows_that_have_no_label():
    codes = torch.tensor([[0.0, 0.0], [2.0, 0.0], [9.0, 9.0], [5.0, 5.0]])
    labels, weight = torch.tensor([0, 0, 1, -1]), torch.tensor([1.0, 3.0, 1.0, 1.0])
    found = label_centers(codes, labels, 2, weight)
    torch.testing.assert_close(found, torch.tensor([[1.5, 0.0], [9.0, 9.0]]))


def test_a_cluster_without_rows_starts_farthest_from_the_others():
    codes = torch.tensor([[0.0], [1.0], [5.0], [9.0]])
    found = label_centers(codes, torch.tensor([0, 0, -1, -1]), 3)
    torch.testing.assert_close(found, torch.tensor([[0.5], [9.0], [5.0]]))


def test_agreement_leaves_out_rows_without_a_start():
    start = np.array([0, 0, 1, 1, -1, -1])
    assert agreement(start, np.array([1, 1, 0, 0, 1, 0])) == 1
    assert agreement(start, np.array([1, 0, 1, 0, 1, 0])) < 0


@pytest.mark.parametrize(("is_given", "silent", "told"), [(True, 5, 6), (False, 25, 26)])
def test_a_departure_is_told_beyond_a_share_of_the_rows(is_given, silent, told):
    """Whatever the truth, a silent fit has not lost more than that of the accuracy."""
    start = np.repeat([0, 1], 50)
    labels = 1 - start
    labels[:silent] = 0  # that many leave the cluster that is now called 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_departure(start, labels, is_given)
    assert clustering_accuracy(start, labels) == 1 - silent / 100
    labels[:told] = 0
    with pytest.warns(ConvergenceWarning, match=f"^{told}% of the rows have left the clusters"):
        warn_of_departure(start, labels, is_given)


def test_it_names_the_clusters_that_are_lost():
    start = np.repeat([0, 3, 7], 20)
    labels = np.where(start == 7, np.arange(60) % 3, start)
    with pytest.warns(ConvergenceWarning, match=r"index 0\.\d\d; most rows of its cluster 7 are"):
        warn_of_departure(start, labels, is_given=True)
