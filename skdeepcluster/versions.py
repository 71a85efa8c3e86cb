"""What is installed, for reports of errors."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

__all__ = ["show_versions"]

LIBRARIES = (
    *("skdeepcluster", "torch", "skorch", "scikit-learn", "numpy", "scipy", "umap-learn"),
    *("hdbscan", "numba", "joblib", "safetensors", "threadpoolctl", "pandas", "matplotlib"),
)


def show_versions() -> None:
    """Print what a report of an error needs: versions, processor, threads and GPU.

    Examples
    --------
    >>> from skdeepcluster import show_versions
    >>> show_versions()  # doctest: +ELLIPSIS
    python         ...
    """
    for name, value in _told().items():
        print(f"{name:<14} {value}")


def _told() -> dict[str, str]:
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none that torch can use"
    return {
        "python": sys.version.replace("\n", " "),
        "system": platform.platform(),
        **{library: _version(library) for library in LIBRARIES},
        "torch's CUDA": str(torch.version.cuda or "none"),
        "GPU": gpu,
        "threads": str(torch.get_num_threads()),
    }


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"
