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

import pandas as pd
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
columns = ["param_autoencoderclustering__lr", "param_autoencoderclustering__batch_size"]
results = pd.DataFrame(search.cv_results_)[[*columns, "mean_test_score", "rank_test_score"]]
print(results.sort_values("rank_test_score").to_string(index=False))

# %%
# How good are the clusters?
# --------------------------
# Here the digits are known, so that we can tell.

labels = search.predict(X)
print("ARI", round(adjusted_rand_score(y, labels), 3))
print("NMI", round(normalized_mutual_info_score(y, labels), 3))

# %%
# The codes go on to whatever comes next, and the data frame knows their names.

codes = search.best_estimator_.set_output(transform="pandas").transform(X)
print(codes.head(3))
