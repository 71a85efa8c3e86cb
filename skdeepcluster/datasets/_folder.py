"""A folder of image files as one array: any sizes, formats and modes become one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import Bunch
from tqdm import tqdm

from skdeepcluster.datasets._bunch import make_bunch

Fit = Literal["crop", "pad", "stretch"]
Mode = Literal["RGB", "L"]

ABOUT = "{n} images from {folder}, in {mode} and of {height} x {width} pixels."


def load_image_folder(
    folder: str | os.PathLike[str],
    *,
    size: int | tuple[int, int] = 64,
    mode: Mode = "RGB",
    fit: Fit = "crop",
    memory_map: str | os.PathLike[str] | None = None,
    verbose: int = 0,
) -> Bunch:
    """Load the images in a folder and in the folders below it, all brought to one size.

    Other files are skipped. Images that cannot be read are left out and named in
    ``skipped``. Needs Pillow: ``pip install "skdeepcluster[images]"``.

    Parameters
    ----------
    folder : str or path-like
        Where the files are.
    size : int or tuple of int, default=64
        Height and width of the images that come out.
    mode : {"RGB", "L"}, default="RGB"
        Three channels of colour, or one of grey.
    fit : {"crop", "pad", "stretch"}, default="crop"
        How an image of another aspect ratio gets into `size`: its middle is cut out; it is set
        between black bars; or it is stretched.
    memory_map : str or path-like, default=None
        A file, ending in ``.npy``, that the images are written to one by one, and from which
        estimators read them batch by batch. ``numpy.load(file, mmap_mode="r")`` opens it again.
        None keeps the images in memory.
    verbose : int, default=0
        1 shows a progress bar.

    Returns
    -------
    dataset : :class:`~sklearn.utils.Bunch`
        ``data`` of shape (n_samples, channels * height * width), uint8; ``images`` of shape
        (n_samples, channels, height, width), the same memory; ``filenames``, the paths within
        `folder`, sorted; ``target``, an integer for the folder that each file lies in, and
        ``target_names``, these folders; ``skipped``, a dict from the paths of images that could not
        be read to the reason; ``DESCR``.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If there is no image in it that can be read, or a parameter is none of those above.
    ImportError
        If Pillow is missing.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from skdeepcluster.datasets import load_image_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (300, 200), "red").save(f"{folder}/red.png")
    ...     Image.new("L", (50, 80)).save(f"{folder}/black.png")
    ...     pictures = load_image_folder(folder, size=(32, 32))
    >>> pictures.filenames, pictures.images.shape
    (['black.png', 'red.png'], (2, 3, 32, 32))
    """
    _check(mode, fit, memory_map)
    height, width = _sides(size)
    root = Path(folder).expanduser()
    files = _image_files(root)
    shape = (len(files), 3 if mode == "RGB" else 1, height, width)
    images = _room(memory_map, shape)
    kept: list[str] = []
    skipped: dict[str, str] = {}
    for file in tqdm(files, unit="image", disable=not verbose):
        name = file.relative_to(root).as_posix()
        try:
            images[len(kept)] = _read(file, (height, width), mode, fit)
        except Exception as error:  # Pillow's plugins raise of all kinds on a broken file
            skipped[name] = f"{type(error).__name__}: {error}"
        else:
            kept.append(name)
    _check_found(root, kept, skipped)
    images = _trimmed(images, len(kept), memory_map)
    folders = [Path(name).parent.as_posix() for name in kept]
    names, target = np.unique(folders, return_inverse=True)
    about = ABOUT.format(n=len(kept), folder=root, mode=mode, height=height, width=width)
    bunch = make_bunch(images.reshape(len(kept), -1), target, names, about, shape[1:])
    bunch.update(filenames=kept, skipped=skipped)
    return bunch


def _sides(size: Any) -> tuple[int, int]:
    """Return height and width."""
    height, width = (size, size) if isinstance(size, Integral) else size
    if any(not isinstance(side, Integral) or side < 1 for side in (height, width)):
        raise ValueError(f"size={size!r} must be a height and a width, integers above 0.")
    return int(height), int(width)


def _check(mode: Any, fit: Any, memory_map: Any) -> None:
    for name, value, known in (("mode", mode, get_args(Mode)), ("fit", fit, get_args(Fit))):
        if value not in known:
            raise ValueError(f"{name}={value!r} is not one of {', '.join(map(repr, known))}.")
    if memory_map is not None and Path(memory_map).suffix != ".npy":
        raise ValueError(f"memory_map={os.fspath(memory_map)!r} must end in '.npy'.")


def _image_files(root: Path) -> list[Path]:
    """Return the files whose names end as those of images do."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError(
            'load_image_folder reads files by Pillow: pip install "skdeepcluster[images]".'
        ) from error
    if not root.is_dir():
        raise FileNotFoundError(f"The folder {root} does not exist. Pass one that holds images.")
    endings = {
        ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN
    }
    return sorted(file for file in _files_below(root) if file.suffix.lower() in endings)


def _files_below(root: Path) -> Iterator[Path]:
    """Yield all files but hidden ones, which are other programs' own."""
    for file in root.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        if file.is_file() and not hidden:
            yield file


def _room(memory_map: Any, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    if memory_map is None or shape[0] == 0:
        return np.empty(shape, np.uint8)
    return np.lib.format.open_memmap(memory_map, mode="w+", dtype=np.uint8, shape=shape)


def _trimmed(images: NDArray[np.uint8], n: int, memory_map: Any) -> NDArray[np.uint8]:
    """Return the images without the room of those skipped, from the file if there is one."""
    if memory_map is None:
        return images[:n]
    if n < len(images):
        part = Path(memory_map).with_suffix(".part.npy")
        np.save(part, images[:n])
        del images
        part.replace(memory_map)
    else:
        images.flush()  # type: ignore[attr-defined]  # it is a memory map
    mapped: NDArray[np.uint8] = np.load(memory_map, mmap_mode="r")
    return mapped


def _read(file: Path, size: tuple[int, int], mode: Mode, fit: Fit) -> NDArray[np.uint8]:
    """Read one image, shape (channels, height, width)."""
    from PIL import Image, ImageOps

    height, width = size
    with Image.open(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):  # Pillow would cut all above 255 off
            image = image.point(lambda value: value / 256)
        image = image.convert(mode)
        if fit == "crop":
            image = ImageOps.fit(image, (width, height))
        elif fit == "pad":
            image = ImageOps.pad(image, (width, height))
        else:
            image = image.resize((width, height))
        return np.asarray(image).reshape(height, width, -1).transpose(2, 0, 1)


def _check_found(root: Path, kept: list[str], skipped: dict[str, str]) -> None:
    if kept:
        return
    first = next(iter(skipped.items()), None)
    reason = (
        f"none of {len(skipped)} can be read: {first[0]}, {first[1]}" if first else "none found"
    )
    raise ValueError(f"{root} holds no images ({reason}). Pass the folder above the image files.")
