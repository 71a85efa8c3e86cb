"""The networks of a fitted estimator alone: a module from rows to codes or to memberships."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

__all__ = ["Network", "Networked", "memberships"]

OUTPUTS = ("codes", "probabilities")


class Networked:
    """Base of what has networks that are of use outside of scikit-learn."""

    module_: Any

    @property
    @abstractmethod
    def _live(self) -> Tensor:
        """Numbers of the candidates that are clusters."""

    def network(self, output: str = "codes") -> nn.Module:
        """Return the trained networks as a module from rows to codes or to memberships.

        It takes a tensor of rows in the user's units, as :meth:`transform` and
        :meth:`predict_proba` do, scales them and calculates the same: for `torch.export`, for
        tracing, for explainers that follow gradients, or as a part of other networks.

        Parameters
        ----------
        output : {"codes", "probabilities"}, default="codes"
            What it returns.

        Returns
        -------
        network : nn.Module
            In eval mode. Its weights are copies: whatever is done to it, the estimator stays as it
            is.

        Raises
        ------
        ValueError
            If there are no probabilities, or they are not a function of tensors, as with a
            head that works on UMAP's coordinates.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import make_blobs
        >>> from skdeepcluster import VaDEClustering
        >>> X, _ = make_blobs(200, n_features=6, random_state=0)
        >>> model = VaDEClustering(
        ...     3, hidden_layer_sizes=(16,), pretrain_epochs=2, max_epochs=2, random_state=0
        ... ).fit(X)
        >>> network = model.network("probabilities")
        >>> network(torch.from_numpy(X[:5])).shape
        torch.Size([5, 3])
        """
        check_is_fitted(self)
        if output not in OUTPUTS:
            raise ValueError(f"output={output!r} is unknown; choose one of {list(OUTPUTS)}.")
        asked = output == "probabilities"
        if asked and not hasattr(self, "predict_proba"):
            raise ValueError(
                f"{type(self).__name__} has no predict_proba with these parameters, so no network "
                "calculates probabilities. Use output='codes'."
            )
        return Network(self.module_, **self._network_parts(asked))

    def _network_parts(self, tells_memberships: bool) -> dict[str, Any]:
        """Return what :class:`Network` takes beside the model."""
        return {"live": self._live, "tells_memberships": tells_memberships}


class Network(nn.Module):
    """What a fitted estimator calculates, as a module that takes rows in the user's units.

    Parameters
    ----------
    model : Model
        The trained networks with their scaling; a copy is kept.
    live : Tensor of int of shape (n_clusters,) or None
        Numbers of the components that are clusters; None where the codes are the model's own.
    rule : nn.Module, default=None
        Maps codes to memberships, where the model itself does not tell them.
    tells_memberships : bool, default=False
        Whether memberships are returned, rather than codes.
    """

    live: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        live: Tensor | None,
        rule: nn.Module | None = None,
        tells_memberships: bool = False,
    ):
        super().__init__()
        self.model: Any = copy.deepcopy(model).eval()
        self.register_buffer("live", live)
        self.rule = rule
        self.tells_memberships = tells_memberships

    def forward(self, rows: Tensor) -> Tensor:
        """Return codes or memberships of rows, as the estimator does.

        Parameters
        ----------
        rows : Tensor of shape (n_samples, n_features) or (n_samples, *image)
            Rows of any real type.

        Returns
        -------
        result : Tensor of shape (n_samples, n_components) or (n_samples, n_clusters)
            In float32.
        """
        batch = {"X": rows.flatten(1)}
        if self.live is None:
            codes = self.model.codes(batch)
            return codes if self.rule is None else self.rule(codes)
        codes, scores = self.model.observe(batch, self.live)
        return memberships(scores, self.live) if self.tells_memberships else codes


def memberships(scores: Tensor, live: Tensor) -> Tensor:
    """Return the probabilities of the clusters that live, given log-memberships of all candidates.

    Of a row so far away that its squares overflow, nothing is known: -inf alone would be NaN.
    """
    logits = scores.float().index_select(1, live)
    least = torch.finfo(logits.dtype).min
    return logits.nan_to_num(nan=least, posinf=-least, neginf=least).softmax(1)
