"""Other libraries that take our estimators, where they are installed, as in `works_with.rst`."""

import numpy as np
import pytest
from sklearn.datasets import make_blobs
from sklearn.pipeline import make_pipeline

from skdeepcluster import AutoencoderClustering

SMALL = {"latent_dim": 2, "hidden_layer_sizes": (16,), "max_epochs": 5, "random_state": 0}


def test_optuna_searches():
    optuna = pytest.importorskip("optuna")
    X, _ = make_blobs(100, n_features=6, centers=3, random_state=0)

    def objective(trial):
        lr = trial.suggest_float("lr", 1e-4, 1e-2, log=True)
        return AutoencoderClustering(3, lr=lr, **SMALL).fit(X).score(X)

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=0))
    study.optimize(objective, n_trials=2)
    assert np.isfinite(study.best_value)


def test_skrub_prepares_frames():
    skrub = pytest.importorskip("skrub")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "age": np.arange(60.0),
            "city": ["Rome", "Oslo"] * 30,
            "day": pandas.date_range("2026-01-01", periods=60),
        }
    )
    pipeline = make_pipeline(skrub.TableVectorizer(), AutoencoderClustering(3, **SMALL)).fit(frame)
    assert "city_Rome" in pipeline[-1].feature_names_in_


def test_imbalanced_learn_resamples_by_clusters():
    sampling = pytest.importorskip("imblearn.under_sampling")
    X, y = make_blobs([90, 20], n_features=6, random_state=0)
    sampler = sampling.ClusterCentroids(estimator=AutoencoderClustering(**SMALL))
    assert np.bincount(sampler.fit_resample(X, y)[1]).tolist() == [20, 20]


def test_bertopic_reads_probabilities():
    bertopic = pytest.importorskip("bertopic")
    from bertopic.dimensionality import BaseDimensionalityReduction

    words = ["the cat and the dog play", "stocks and bonds rise", "rain and wind tomorrow"]
    documents = [f"{sentence} {i}" for i in range(30) for sentence in words]
    codes = np.tile(8 * np.eye(3), (30, 1)) + np.random.default_rng(0).normal(size=(90, 3))
    topics = bertopic.BERTopic(
        embedding_model=None,
        umap_model=BaseDimensionalityReduction(),
        hdbscan_model=AutoencoderClustering("auto", head="hdbscan", batch_size=16, **SMALL),
    )
    found, probabilities = topics.fit_transform(documents, embeddings=codes)
    assert len(found) == len(probabilities) == 90
    assert len(topics.transform(documents[:2], embeddings=codes[:2])[0]) == 2
