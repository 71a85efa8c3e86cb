"""Training that goes on with a fitted model: what is kept of it, and what must not have changed."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from skdeepcluster.base._fitted import FittedClusterer
from skdeepcluster.base._units import Extent
from skdeepcluster.engine.fingerprint import fingerprint
from skdeepcluster.engine.model import Model

__all__ = ["RUNNING", "Continuing", "joined_extent"]

# Parameters of how training runs, from which a fit may differ that goes on with another.
RUNNING = frozenset(
    {
        *("max_epochs", "batch_size", "lr", "optimizer", "device", "precision", "warm_start"),
        *("checkpoint", "callbacks", "trainer_params", "random_state", "verbose"),
    }
)
PLAIN = (bool, int, float, str, type(None))
HASHED = "#"
LONGEST = 20  # of a list that is told in a message; labels of all rows are not


class Continuing(FittedClusterer):
    """Base of what can be trained further, with its parameter `warm_start`.

    A method says in `_may_change` which parameters of its own its main stage takes from the
    estimator, and not from the model.
    """

    _may_change: ClassVar[frozenset[str]] = frozenset()
    _made_with: dict[str, str]
    history_: list[dict[str, Any]]
    checkpoint: Any

    def _goes_on(self) -> bool:
        """Tell whether `fit` goes on with the networks and clusters that are there."""
        return getattr(self, "warm_start", False) and self.__sklearn_is_fitted__()

    def _networks_before(self) -> Model:
        """Return a copy of the networks, to be trained further.

        Raises
        ------
        ValueError
            If a parameter has changed that they were made with.
        """
        if self.checkpoint is not None:
            raise ValueError(
                f"checkpoint={str(self.checkpoint)!r} belongs to a fit from its beginning, and "
                "this goes on with a fitted model. Use checkpoint=None, and save the model in "
                f"between; or continue the fit of the checkpoint by `fit`{self._anew()}."
            )
        self._check_unchanged()
        model: Model = copy.deepcopy(self.module_)
        return model

    def _anew(self) -> str:
        """Say how `fit` begins anew."""
        return ", with warm_start=False" if getattr(self, "warm_start", False) else ""

    def _check_unchanged(self) -> None:
        before = vars(self).get("_made_with")
        if before is None:
            raise ValueError(
                "This model was saved before models could be trained further: what it was made "
                f"with is not known. Begin anew by `fit`{self._anew()}."
            )
        for name, value in self._lasting_params().items():
            if name in before and before[name] != value:
                raise ValueError(
                    f"{name}{_told('=', value)} is not what the model was made with"
                    f"{_told(', ', before[name])}. Training that goes on keeps its networks and "
                    f"clusters: set {name} back, or begin anew by `fit`{self._anew()}."
                )

    def _lasting_params(self) -> dict[str, str]:
        """Return the parameters that a model is made with, as texts that are equal if they are."""
        params = self.get_params(deep=False)
        lasting = params.keys() - RUNNING - self._may_change
        return {name: _text(params[name]) for name in sorted(lasting)}

    @contextlib.contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        """Leave the estimator as it was before, if training further fails."""
        state = self.__dict__
        before = dict(state)
        try:
            yield
        except BaseException:
            state.clear()
            state.update(before)
            raise


def joined_extent(one: Extent, other: Extent) -> Extent:
    """Return the range of every column in two sets of rows."""
    return np.minimum(one[0], other[0]), np.maximum(one[1], other[1])


def _text(value: Any) -> str:
    """Return a text that tells values apart: itself if it is plain, and a hash otherwise.

    Numbers count, and not how they are held: 1.0 is 1, and an array of numbers is a tuple.
    """
    if not isinstance(value, list | tuple | np.ndarray) or np.ndim(value) != 1:
        plain = _plain(value)
        return repr(plain) if isinstance(plain, PLAIN) else f"{HASHED}{fingerprint(value)}"
    parts = tuple(map(_plain, value))
    is_told = len(parts) <= LONGEST and all(isinstance(each, PLAIN) for each in parts)
    return repr(parts) if is_told else f"{HASHED}{fingerprint(parts)}"


def _plain(value: Any) -> Any:
    """Return a number as Python has it, a whole one as an integer."""
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _told(mark: str, text: str) -> str:
    return "" if text.startswith(HASHED) else f"{mark}{text}"
