"""Images that show what is in each cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils import check_random_state

from skdeepcluster.inspection import nearest_first

from ._images import draw_mosaic, unit_scaled
from ._style import clusters_of, figure_and_axes, name_rows, require_clusters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray

__all__ = ["ContactSheetDisplay"]

GAP = 0.4  # between two groups of columns, in images


class ContactSheetDisplay:
    """Images of every cluster: the most typical, the most doubtful, and generated ones.

    It is recommended to use :meth:`from_estimator`.

    Parameters
    ----------
    groups : dict of str to array-like of shape (n_clusters, n_images, ...)
        The images of every group, under its title: (height, width) or (channels, height, width)
        each. NaN stands for an image that is missing.
    labels : array-like of shape (n_clusters,)
        The number, or name, of each cluster.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes drawn on; set by :meth:`plot`.
    figure_ : matplotlib.figure.Figure
        The figure of those axes.

    Examples
    --------
    >>> import numpy as np
    >>> from skdeepcluster.plotting import ContactSheetDisplay
    >>> display = ContactSheetDisplay({"typical": np.zeros((3, 5, 8, 8))}, labels=[0, 1, 2])
    >>> display.groups["typical"].shape
    (3, 5, 8, 8)
    """

    ax_: Axes
    figure_: Figure

    def __init__(self, groups: Mapping[str, ArrayLike], labels: ArrayLike) -> None:
        self.groups = {title: np.asarray(images) for title, images in groups.items()}
        self.labels: NDArray[Any] = np.asarray(labels)
        for title, images in self.groups.items():
            if images.ndim not in (4, 5) or len(images) != self.labels.size:
                raise ValueError(
                    f"{title!r} must have shape (n_clusters, n_images, height, width) or "
                    "(n_clusters, n_images, channels, height, width); got "
                    f"{images.shape} for {self.labels.size} clusters."
                )

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_images: int = 5,
        doubt: ArrayLike | None = None,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | None = 0,
        ax: Axes | None = None,
        **plot_params: Any,
    ) -> ContactSheetDisplay:
        """Draw what a fitted estimator finds in images.

        Parameters
        ----------
        estimator : object
            A fitted clusterer with `predict`, or a pipeline that ends in one. With `sample`,
            generated images are drawn as well.
        X : array-like
            Images of shape (n_samples, height, width) or (n_samples, channels, height, width); or
            flattened, if `image_shape` says so.
        n_images : int, default=5
            Images of every group.
        doubt : array-like of shape (n_samples,), default=None
            How doubtful each image is; by default one minus the largest of `predict_proba`, or if
            there is none the distance to the centre of the cluster. Of a
            :class:`~skdeepcluster.model_selection.ConsensusClustering` pass ``1 -
            row_agreement_``.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of images that are flattened; by default
            the estimator's own `image_shape`, where it has one.
        random_state : int or None, default=0
            Seed of the generated images.
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        **plot_params : dict
            Passed on to :meth:`plot`.

        Returns
        -------
        ContactSheetDisplay
            The display, drawn.

        Raises
        ------
        ValueError
            If `X` holds no images.
        """
        rows = np.asarray(X)
        shape = tuple(image_shape or getattr(estimator, "image_shape", None) or rows.shape[1:])
        if len(shape) not in (2, 3):
            raise ValueError(
                f"X of shape {rows.shape} holds no images. Pass image_shape=(height, width) or "
                "(channels, height, width)."
            )
        images = rows.reshape(-1, *shape)
        ordered = nearest_first(estimator, X)
        require_clusters(list(ordered))
        groups = {
            "most typical": _picked(images, ordered, n_images),
            "most doubtful": _picked(
                images, _doubtful_first(estimator, X, ordered, doubt), n_images
            ),
        }
        if hasattr(estimator, "sample"):
            generated = _generated(estimator, list(ordered), n_images, random_state)
            groups["generated"] = generated.reshape(len(ordered), n_images, *shape)
        return cls(groups, list(ordered)).plot(ax=ax, **plot_params)

    def plot(self, *, ax: Axes | None = None, cmap: str = "gray") -> ContactSheetDisplay:
        """Draw the sheet.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, default=None
            Axes to draw on; by default those of a new figure.
        cmap : str, default="gray"
            Colour map of images with one channel.

        Returns
        -------
        ContactSheetDisplay
            The display itself.
        """
        n_columns = sum(images.shape[1] + GAP for images in self.groups.values()) - GAP
        self.figure_, self.ax_ = figure_and_axes(ax, self._size(n_columns))
        parts = np.concatenate([images.ravel() for images in self.groups.values()])
        scaled = unit_scaled(parts, tail=1)  # one scale, or they could not be compared
        left, begin = 0.0, 0
        for title, images in self.groups.items():
            of_group = scaled[begin : begin + images.size].reshape(images.shape)
            draw_mosaic(self.ax_, of_group, left, cmap)
            middle = left + images.shape[1] / 2
            self.ax_.text(middle, -0.15, title, ha="center", va="bottom")
            left, begin = left + images.shape[1] + GAP, begin + images.size
        clusters = clusters_of(self.labels)
        name_rows(self.ax_, [clusters[label] for label in self.labels.tolist()], n_columns)
        return self

    def _size(self, n_columns: float) -> tuple[float, float]:
        """Return the size in inches of a figure with images of some 40 pixels."""
        height, width = next(iter(self.groups.values())).shape[-2:]
        return 0.8 + 0.42 * n_columns * width / height, 0.6 + 0.42 * len(self.labels)


def _picked(
    images: NDArray[Any], ordered: Mapping[Any, NDArray[np.intp]], n_images: int
) -> NDArray[np.float64]:
    """Return the first images of every cluster, NaN where it has fewer."""
    picked = np.full((len(ordered), n_images, *images.shape[1:]), np.nan)
    for place, rows in zip(picked, ordered.values(), strict=True):
        place[: len(rows[:n_images])] = images[rows[:n_images]]
    return picked


def _doubtful_first(
    estimator: Any, X: Any, ordered: Mapping[Any, NDArray[np.intp]], doubt: ArrayLike | None
) -> dict[Any, NDArray[np.intp]]:
    """Return the rows of every cluster, the most doubtful first."""
    if doubt is None and not hasattr(estimator, "predict_proba"):
        return {label: rows[::-1] for label, rows in ordered.items()}
    doubts = 1 - estimator.predict_proba(X).max(axis=1) if doubt is None else np.asarray(doubt)
    if doubts.shape != (n_rows := len(np.asarray(X)),):
        raise ValueError(
            f"doubt has shape {doubts.shape}; expected one value for each of {n_rows}."
        )
    # A cluster's rows are turned round first, so that of equal ones the farthest come first.
    far = {label: rows[::-1] for label, rows in ordered.items()}
    return {label: rows[np.argsort(-doubts[rows], kind="stable")] for label, rows in far.items()}


def _generated(
    estimator: Any, labels: list[Any], n_images: int, random_state: int | None
) -> NDArray[Any]:
    rng = check_random_state(random_state)  # one stream: no two clusters share their noise
    drawn = [estimator.sample(n_images, cluster=k, random_state=rng)[0] for k in labels]
    return np.stack([np.asarray(rows) for rows in drawn])
