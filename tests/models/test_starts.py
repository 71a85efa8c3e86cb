"""Clusters that training starts from: their centres, and how far it goes from them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster.metrics import clustering_accuracy
from skdeepcluster.models.starts import agreement, label_centers, warn_of_departure


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
    with pytest.warns(ConvergenceWarning, match=r"index 0\.\d\d; most rows of its clusters 7 are"):
        warn_of_departure(start, labels, is_given=True)
