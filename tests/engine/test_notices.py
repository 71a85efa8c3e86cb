"""Warnings of a fit: one of a kind, with its count, at its end, where the user's code is."""

import warnings

import pytest
from sklearn.exceptions import ConvergenceWarning

from skdeepcluster.engine.notices import gathered, notice


def caught(*messages):
    """What is warned about at the end of a block that notices some things."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        with gathered():
            for message in messages:
                notice(message)
            assert not found
    return found


def test_there_is_one_of_a_kind_with_its_number():
    found = caught("3 clusters died", "5 clusters died", "the loss is high", "1 clusters died")
    assert [str(warning.message) for warning in found] == [
        "3 clusters died (3 times in this fit; this was the first.)",
        "the loss is high",
    ]
    assert {warning.category for warning in found} == {ConvergenceWarning}


def test_a_warning_points_at_the_users_code():
    (warning,) = caught("something")
    assert warning.filename == __file__


def test_outside_of_a_fit_and_after_an_error_nothing_is_kept_back():
    with pytest.warns(UserWarning, match="at once"):
        notice("at once", UserWarning)
    with pytest.warns(ConvergenceWarning, match="before"), pytest.raises(RuntimeError), gathered():
        notice("before")
        raise RuntimeError
