"""Fetchers: one's own ``.npz`` file first, OpenML otherwise. One table drives them all."""

import os
import tomllib
import zlib
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, Protocol, TypeAlias
from zipfile import BadZipFile

import numpy as np
import sklearn.datasets
from scipy import sparse
from sklearn.utils import Bunch, check_consistent_length

from skdeepcluster.datasets._bunch import XY, Rows, bunch_or_pair, make_bunch

Folder: TypeAlias = str | os.PathLike[str]
Part: TypeAlias = Literal["all", "train", "test"]

TABLE = tomllib.loads(files(__package__).joinpath("table.toml").read_text(encoding="utf-8"))
SOURCES: dict[str, dict[str, Any]] = TABLE["sources"]


def fetch(name: str, data_home: Folder | None, subset: Part) -> Bunch:
    """Read the source ``name`` from its file or from OpenML, and return the part asked for."""
    if subset not in ("all", "train", "test"):
        raise ValueError(f"subset={subset!r} is not one of 'all', 'train', 'test'.")
    source = SOURCES[name]
    arrays, origin = _load(name, data_home)
    part = _part(subset, arrays.get("n_train"), origin)
    data = _flatten(arrays["X"], source, origin)
    check_consistent_length(data, arrays["y"])
    return make_bunch(
        data[part],
        arrays["y"][part],
        arrays.get("target_names", source["target_names"]),
        f"{source['title']}\n\n{source['about']}\nRead from {origin}.\n\n{source['reference']}",
        source.get("image_shape"),
    )


def _load(name: str, data_home: Folder | None) -> tuple[dict[str, Any], str]:
    """Find the arrays of a source, and say where."""
    folder = data_home or os.environ.get("SKDEEPCLUSTER_DATA")
    file = Path(folder).expanduser() / f"{name}.npz" if folder else None
    if file is not None and file.is_file():
        return _read_npz(file), str(file)
    looked = f"there is no file {file}" if file else f"no folder with {name}.npz was named"
    remedy = (
        f"Put {name}.npz, with the arrays X and y, into a folder and pass the folder as data_home "
        "or name it in the environment variable SKDEEPCLUSTER_DATA"
    )
    openml = SOURCES[name].get("openml")
    if openml is None:
        raise FileNotFoundError(f"{name}: {looked}, and OpenML does not have it. {remedy}.")
    try:
        return _download(data_home=data_home, **openml), f"OpenML, data set {openml['data_id']}"
    except OSError as error:
        raise FileNotFoundError(
            f"{name}: {looked}, and OpenML could not be reached ({error}). {remedy}. Or connect to "
            "the internet once: scikit-learn keeps what it downloads."
        ) from error


def _read_npz(file: Path) -> dict[str, Any]:
    wanted = ("X", "y", "n_train", "target_names")
    try:
        with np.load(file, allow_pickle=False) as npz:
            arrays = {key: npz[key] for key in wanted if key in npz}
            found = list(npz)
        if "format" in found:  # what scipy.sparse.save_npz writes
            arrays["X"] = sparse.load_npz(file).tocsr()
    except (ValueError, TypeError, AttributeError, EOFError, BadZipFile, zlib.error) as error:
        raise ValueError(
            f"{file} cannot be read as what numpy.savez writes: {type(error).__name__}. It may be "
            "half a download, or an error page that was saved in its place. Remove the file, and "
            "put a whole one there or let the data be fetched anew."
        ) from error
    if not {"X", "y"} <= arrays.keys():
        raise ValueError(f"{file} must hold the arrays X and y, but holds {found}.")
    return arrays


def _download(
    data_id: int, dtype: str, data_home: Folder | None, n_train: int | None = None
) -> dict[str, Any]:
    X, y = sklearn.datasets.fetch_openml(
        data_id=data_id,
        data_home=data_home,
        as_frame=False,
        return_X_y=True,
        # The default parser needs pandas, which is an extra.
        parser="auto" if find_spec("pandas") else "liac-arff",
        # No column types: numbers as categories stop scikit-learn 1.9 under pandas 3.1.
        read_csv_kwargs={"dtype": {}},
    )
    # The classes may be text, in quotes even, and OpenML counts some of them from 1.
    classes = np.char.strip(y.astype(str), "'").astype(np.int64)
    _, target = np.unique(classes, return_inverse=True)
    return {"X": X.astype(dtype), "y": target, "n_train": n_train}


def _part(subset: Part, n_train: int | None, origin: str) -> slice:
    if subset == "all":
        return slice(None)
    if n_train is None:
        raise ValueError(
            f"subset={subset!r} cannot be selected: {origin} does not say which rows are the "
            "training part. Take subset='all', or use a file with n_train, the number of leading "
            "rows that are."
        )
    return slice(int(n_train)) if subset == "train" else slice(int(n_train), None)


def _flatten(X: Rows, source: dict[str, Any], origin: str) -> Rows:
    """Bring images to flat rows, channels first."""
    image_shape = tuple(source.get("image_shape", ()))
    if X.ndim == 4 and X.shape[1:] != image_shape:
        X = np.moveaxis(X, -1, 1)
    shape = X.shape[1:]
    if shape not in ((source["n_features"],), image_shape):
        raise ValueError(
            f"{origin} holds rows of shape {shape}; expected {source['n_features']} columns"
            + (f" or images of shape {image_shape}." if image_shape else ".")
        )
    return X if X.ndim == 2 else X.reshape(len(X), -1)


class _Fetcher(Protocol):
    """The signature that all fetchers share."""

    def __call__(
        self, *, data_home: Folder | None = None, subset: Part = "all", return_X_y: bool = False
    ) -> Bunch | XY: ...


_DOCSTRING = """Fetch {title}.

    {about}

    Parameters
    ----------
    data_home : str or path-like, default=None
        Folder that may hold ``{name}.npz`` with the arrays ``X`` and ``y`` (integers from 0) and
        optionally ``n_train``, the number of leading rows that are the training part, and
        ``target_names``. If X is sparse, the file is that of :func:`scipy.sparse.save_npz` with the
        other arrays added. None takes the folder that the environment variable
        ``SKDEEPCLUSTER_DATA`` names.
        {otherwise}
    subset : {{"all", "train", "test"}}, default="all"
        The rows to return.{parts}
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch` or tuple
        ``data`` of shape (n_samples, {n_features}), in the type and units of the source;
        {images}``target`` of shape (n_samples,),
        integers from 0; ``target_names``; ``DESCR``. The tuple ``(data, target)`` if
        ``return_X_y``.

    Raises
    ------
    FileNotFoundError
        If the data are neither on disk nor within reach.
    ValueError
        If the file does not hold what it should, or the source does not say which rows are the
        part asked for.

    References
    ----------
    .. [1] {reference}

    Examples
    --------
    From one's own file, here of three blank rows:

    >>> import tempfile
    >>> import numpy as np
    >>> from skdeepcluster.datasets import fetch_{name}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     X = np.zeros((3, {n_features}), dtype=np.uint8)
    ...     np.savez(f"{{folder}}/{name}.npz", X=X, y=[0, 1, 0], n_train=2)
    ...     fetch_{name}(data_home=folder, subset="train").data.shape
    (2, {n_features})
    """

_ON_OPENML = (
    "Without the file the data come from OpenML, and scikit-learn keeps the download,\n"
    "        in ``data_home`` if that is given."
)
_NOT_ON_OPENML = "OpenML does not have these data: the file is needed."
_PARTS_NEED_FILE = " The parts need a file that holds ``n_train``."
_IMAGES = "``images`` of shape (n_samples, {}), the same memory; "


def _make_fetcher(name: str) -> _Fetcher:
    source = SOURCES[name]

    def fetcher(
        *, data_home: Folder | None = None, subset: Part = "all", return_X_y: bool = False
    ) -> Bunch | XY:
        return bunch_or_pair(fetch(name, data_home, subset), return_X_y)

    fetcher.__name__ = fetcher.__qualname__ = f"fetch_{name}"
    fetcher.__doc__ = _docstring(name, source)
    return fetcher


def _docstring(name: str, source: dict[str, Any]) -> str:
    openml = source.get("openml", {})
    shape = ", ".join(map(str, source.get("image_shape", ())))
    return _DOCSTRING.format(
        name=name,
        title=source["title"],
        about=fill(source["about"], 96, subsequent_indent=4 * " "),
        reference=fill(source["reference"], 88, subsequent_indent=7 * " "),
        n_features=source["n_features"],
        otherwise=_ON_OPENML if openml else _NOT_ON_OPENML,
        parts="" if "n_train" in openml else _PARTS_NEED_FILE,
        images=_IMAGES.format(shape) if shape else "",
    )


fetch_mnist = _make_fetcher("mnist")
fetch_fashion_mnist = _make_fetcher("fashion_mnist")
fetch_usps = _make_fetcher("usps")
fetch_pendigits = _make_fetcher("pendigits")
fetch_har = _make_fetcher("har")
fetch_coil20_32 = _make_fetcher("coil20_32")
fetch_cifar10_test = _make_fetcher("cifar10_test")
fetch_reuters21578_top4 = _make_fetcher("reuters21578_top4")
