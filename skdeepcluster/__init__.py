"""Deep clustering methods as scikit-learn estimators."""
