"""
In a pipeline, under a grid search
==================================

A deep clusterer is an estimator like any other: preprocessing goes before it, a grid search around
it, scikit-learn's metrics after it.
"""

# %%
# The pipeline
# ------------
# Pixels lie between 0 and 16. Once they are in [0, 1] the estimator leaves their scale alone.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from skdeepcluster import AutoencoderClustering

X, y = load_digits(n_class=5, return_X_y=True)
pipeline = make_pipeline(
    MinMaxScaler(),
    AutoencoderClustering(
        n_clusters=5, hidden_layer_sizes=(128, 64), max_epochs=10, random_state=0
    ),
)

# %%
# The search
# ----------
# Candidates are ranked by the reconstruction error on rows that were held out. No label is used.
# What this score can rank, and what it cannot, has a page in the user guide. Two processes share
# the work, and give what one would.

search = GridSearchCV(
    pipeline,
    {
        "autoencoderclustering__lr": [1e-4, 1e-3, 1e-2],
        "autoencoderclustering__batch_size": [64, 256],
    },
    cv=2,
    n_jobs=2,
).fit(X)
best_first = np.argsort(search.cv_results_["rank_test_score"])
for i in best_first:
    print(f"{search.cv_results_['mean_test_score'][i]:.4f}  {search.cv_results_['params'][i]}")

# %%
# How good are the clusters?
# --------------------------
# Here the digits are known, so that we can tell.

labels = search.predict(X)
print("ARI", round(adjusted_rand_score(y, labels), 3))
print("NMI", round(normalized_mutual_info_score(y, labels), 3))

# %%
# The codes go on to whatever comes next, under names of their own.

best = search.best_estimator_
print(best.transform(X).shape, *best.get_feature_names_out()[:2])
