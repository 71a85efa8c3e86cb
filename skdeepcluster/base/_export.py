"""A fitted estimator as a program that runs without this package, and without scikit-learn."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Mapping
from typing import Any

import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.export import Dim

from skdeepcluster.base._network import Networked, memberships

__all__ = ["Exported", "Program"]

EXAMPLE = 5  # rows that the program is traced with; it takes any number
DESCRIPTION = "skdeepcluster.json"


class Exported(Networked):
    """Base of what can be written as a program."""

    _row_shape: tuple[int, ...]
    _row_dtype: Any
    n_clusters_: int

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator as a program of `torch.export`, which torch alone can run.

        It takes a tensor of rows in the user's units, of the type and the shape that they had in
        :meth:`fit` (dense, and float32 where they were integers), any number of them. It returns a
        mapping: ``label`` as :meth:`predict`, ``code`` as :meth:`transform`, and, where there is
        :meth:`predict_proba`, ``probabilities``. All are calculated on the processor.

        Parameters
        ----------
        path : str or path
            The file, by convention ``.pt2``. ``torch.export.load(path).module()`` reads it.

        Raises
        ------
        ValueError
            If what tells the clusters is no function of tensors, such as a clusterer of your own
            as the head.

        Examples
        --------
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from sklearn.datasets import make_blobs
        >>> from skdeepcluster import AutoencoderClustering
        >>> X, _ = make_blobs(200, n_features=6, random_state=0)
        >>> model = AutoencoderClustering(3, hidden_layer_sizes=(16,), max_epochs=2).fit(X)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     model.export(Path(folder, "model.pt2"))
        ...     program = torch.export.load(Path(folder, "model.pt2")).module()
        >>> found = program(torch.from_numpy(X))
        >>> bool((found["label"].numpy() == model.labels_).all())
        True
        """
        check_is_fitted(self)
        program = self._program().cpu().eval().requires_grad_(False)
        for tensor in [*program.parameters(), *program.buffers()]:
            tensor.data = tensor.data.clone()  # a view of a larger one would be stored with it
        # A type of numpy's, as torch knows it.
        dtype = torch.float64 if self._row_dtype().itemsize == 8 else torch.float32
        rows = torch.zeros((EXAMPLE, *self._row_shape), dtype=dtype)
        with torch.no_grad():
            exported = torch.export.export(
                program, (rows,), dynamic_shapes=({0: Dim("rows")},), strict=False
            )
        torch.export.save(exported, path, extra_files={DESCRIPTION: self._description()})

    def _program(self) -> Program:
        """Return what is exported."""
        tells = hasattr(self, "predict_proba")
        return Program(self.module_, self._live, has_memberships=tells)

    def _description(self) -> str:
        about = {"estimator": type(self).__name__, "n_clusters": self.n_clusters_}
        return json.dumps(about | {"row_shape": list(self._row_shape)})


class Program(nn.Module):
    """What a fitted estimator says of rows in the user's units.

    Parameters
    ----------
    model : Model
        The trained networks with their scaling; a copy is kept.
    live : Tensor of int of shape (n_clusters,), default=None
        Numbers of the components that are clusters, where the model itself tells these.
    head : nn.Module, default=None
        Maps codes to labels and memberships, where a head does.
    has_memberships : bool, default=False
        Whether the model's memberships are told.
    noise : int, default=None
        Number of the component that is noise, where there is one.
    """

    live: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        live: Tensor | None = None,
        head: nn.Module | None = None,
        has_memberships: bool = False,
        noise: int | None = None,
    ):
        super().__init__()
        self.model: Any = copy.deepcopy(model)
        self.register_buffer("live", live)
        self.head = head
        self.has_memberships = has_memberships
        self.noise = noise

    def forward(self, rows: Tensor) -> Mapping[str, Tensor]:
        """Return labels, codes, and probabilities where there are any."""
        batch = {"X": rows.flatten(1)}
        if self.head is not None:
            codes = self.model.codes(batch)
            label, proba = self.head(codes)
        else:
            codes, label, proba = self._observed(batch)
        told = {"label": label, "code": codes.float()}
        return told if proba is None else {**told, "probabilities": proba}

    def _observed(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor, Tensor | None]:
        assert self.live is not None
        codes, scores = self.model.observe(batch, self.live)
        proba = memberships(scores, self.live) if self.has_memberships else None
        chosen = scores.index_select(1, self.live) if proba is None else proba
        label = chosen.argmax(1)
        if self.noise is not None:
            label = label.masked_fill(scores.argmax(1) == self.noise, -1)
        return codes, label, proba
