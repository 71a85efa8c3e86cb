"""Any parameters, any rows: a result that keeps the laws, or an error that says what to do.

The examples are the same every time; a larger `N_EXAMPLES` looks further.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, event, given, settings, strategies as st
from registry import ESTIMATORS, stages
from scipy import sparse
from sklearn.base import clone

N_EXAMPLES = 6  # of every estimator

GOOD: dict[str, list[Any]] = {
    "n_clusters": [1, 2, 3, 7, "auto"],
    "latent_dim": [1, 2, 5],
    "hidden_layer_sizes": [(4,), (), (3, 2), "auto", [5]],
    "scaling": ["auto", "minmax", "standard", None],
    "batch_size": [1, 2, 7, 1000],
    "lr": [1e-3, 1e-30, 1e3, 1e30],
    "optimizer": ["adam", "sgd", "rmsprop", torch.optim.NAdam],
    "precision": ["float32", "bfloat16"],
    "trainer_params": [None, {"optimizer__weight_decay": 0.1}],
    "callbacks": [None, []],
    "random_state": [0, 2**32 - 1],
    "head": ["kmeans", "gmm", "hdbscan", "agglomerative", "spherical"],
    "manifold_params": [None, {"n_neighbors": 3}],
    "min_cluster_size": [2, 0.3, 1000],
    "max_samples": [3, 60, None],
}
BAD: dict[str, list[Any]] = {
    "n_clusters": [0, None],
    "latent_dim": [None, 0],
    "hidden_layer_sizes": [(0,), "small"],
    "image_shape": [(1, 2, 2), (1, 2)],
    "scaling": ["robust"],
    "batch_size": [0],
    "lr": [0, "fast", np.nan],
    "optimizer": [torch.optim.SparseAdam, "newton"],
    "precision": ["float8"],
    "device": ["meta", "nowhere"],
    "trainer_params": [{"lr": 1}, {1: 2}, {"nonsense": 1}],
    "callbacks": [[()], "log"],
    "random_state": [-1],
    "head": ["dbscan"],
    "head_params": [{"nonsense": 1}],
    "manifold_params": [{"nonsense": 1}],
    "min_cluster_size": [-1],
}
EPOCHS = st.sampled_from([0, 1, 2])
SIZES = [1e-300, 1e-40, 1e-12, 1.0, 1e6, 1e20, 1e36, 1e300]


@st.composite
def rows(draw: Any) -> Any:
    """Rows of some number, width, type, size and holder."""
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    shape = draw(st.sampled_from([8, 20, 41, 3, 2, 1])), draw(st.sampled_from([1, 2, 4, 9]))
    X = {
        "normal": rng.normal(size=shape),
        "equal": np.ones(shape),
        "few": rng.integers(0, 2, shape).astype(float),
        "zero": np.zeros(shape),
        "lonely": np.eye(*shape),
    }[draw(st.sampled_from(["normal", "equal", "few", "zero", "lonely"]))]
    X = X * draw(st.sampled_from(SIZES))
    if draw(st.integers(0, 9)) == 0:
        X[0, 0] = draw(st.sampled_from([np.nan, np.inf, 1e300]))
    holders = [np.asarray, np.float32, np.uint8, sparse.csr_array, pd.DataFrame, np.asfortranarray]
    with np.errstate(all="ignore"):
        return draw(st.sampled_from(holders))(X)


@st.composite
def parameters(draw: Any, estimator: Any) -> dict[str, Any]:
    """A few parameters of an estimator, and few epochs."""
    own = estimator.get_params()
    chosen = {name: draw(EPOCHS) for name in stages(estimator, 0)}
    for values, most in ((GOOD, 3), (BAD, draw(st.sampled_from([0, 0, 0, 1])))):
        names = st.sampled_from(sorted(values.keys() & own.keys()))
        for name in draw(st.lists(names, max_size=most, unique=True)):
            chosen[name] = draw(st.sampled_from(values[name]))
    return chosen


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_result_or_advice(name):
    estimator = ESTIMATORS[name]

    @settings(
        max_examples=N_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(params=parameters(estimator), X=rows())
    def check(params: dict[str, Any], X: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)  # numpy's, of overflows and the like
            try:
                model = clone(estimator).set_params(**params).fit(X)
            except (ValueError, TypeError) as error:
                event("refused")
                assert is_advice(str(error))
                return
            event("fitted")
            keeps_the_laws(model, X)

    check()


def is_advice(message: str) -> bool:
    """Tell whether an error is ours or scikit-learn's, about what it was given."""
    leaks = ("shapes", "broadcast", "mat1", "expected scalar type", "NoneType' object", "unpack")
    return len(message) > 25 and not any(leak in message for leak in leaks)


def keeps_the_laws(model: Any, X: Any) -> None:
    codes, labels = model.transform(X), model.predict(X)
    assert np.isfinite(codes).all()
    np.testing.assert_array_equal(labels, model.labels_)
    assert set(labels) - {-1} == set(range(model.n_clusters_))
    assert len(model.cluster_centers_) == model.n_clusters_
    if hasattr(model, "predict_proba"):
        np.testing.assert_allclose(model.predict_proba(X).sum(1), 1, rtol=1e-5)
    if not hasattr(model, "sample"):  # nothing decodes, as with decoder_epochs=0
        return
    assert not np.isnan(model.score_samples(X)).any()
    if model.n_clusters_:
        assert np.isfinite(model.sample(3, random_state=0)[0]).all()
