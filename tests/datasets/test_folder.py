"""Folders of image files: any sizes and modes, broken files, and a file to read from."""

import numpy as np
import pytest
from PIL import Image

from skdeepcluster.datasets import load_image_folder

RED = (255, 0, 0)


@pytest.fixture
def folder(tmp_path):
    """Pictures of three sizes and modes in two folders, a text, and a broken picture."""
    root = tmp_path / "pictures"
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
    Image.new("RGB", (40, 30), RED).save(root / "cats" / "b.png")
    Image.new("L", (9, 20), 128).save(root / "cats" / "a.JPG", quality=100)
    Image.new("RGBA", (5, 5), (*RED, 255)).save(root / "dogs" / "c.png")
    (root / "notes.txt").write_text("no picture")
    (root / "dogs" / ".hidden.png").write_bytes(b"")
    whole = (root / "cats" / "b.png").read_bytes()
    (root / "dogs" / "broken.png").write_bytes(whole[: len(whole) // 2])
    return root


@pytest.fixture(params=[None, "images.npy"], ids=["memory", "file"])
def memory_map(request, tmp_path):
    return request.param and tmp_path / request.param


def test_pictures_of_any_size_and_mode_become_one_array(folder, memory_map):
    found = load_image_folder(folder, size=(8, 12), memory_map=memory_map)
    assert found.images.shape == (3, 3, 8, 12)
    assert found.data.shape == (3, 3 * 8 * 12)
    assert found.images.dtype == np.uint8
    assert np.shares_memory(found.images, found.data)
    assert found.filenames == ["cats/a.JPG", "cats/b.png", "dogs/c.png"]
    assert found.target_names[found.target].tolist() == ["cats", "cats", "dogs"]
    assert (abs(found.images[0].astype(int) - 128) < 4).all()
    for image in found.images[1:]:
        assert (image == np.array(RED).reshape(3, 1, 1)).all()


def test_a_broken_file_is_named_and_left_out(folder, memory_map):
    found = load_image_folder(folder, memory_map=memory_map)
    (name, reason) = found.skipped.popitem()
    assert name == "dogs/broken.png"
    assert "Error" in reason
    assert not found.skipped


def test_the_file_holds_what_was_loaded_and_no_more(folder, tmp_path):
    file = tmp_path / "images.npy"
    found = load_image_folder(folder, size=8, mode="L", memory_map=file)
    stored = np.load(file, mmap_mode="r")
    assert stored.shape == (3, 1, 8, 8)
    np.testing.assert_array_equal(stored, found.images)
    assert isinstance(found.images.base, np.memmap) or isinstance(found.images, np.memmap)
    assert [path.name for path in tmp_path.glob("*.npy")] == ["images.npy"]


def test_a_folder_without_broken_files_is_not_written_twice(folder, tmp_path):
    (folder / "dogs" / "broken.png").unlink()
    found = load_image_folder(folder, memory_map=tmp_path / "images.npy")
    assert found.skipped == {}
    np.testing.assert_array_equal(found.images, load_image_folder(folder).images)


@pytest.mark.parametrize(
    ("fit", "corner", "middle"), [("crop", 0, 0), ("pad", 0, 255), ("stretch", 255, 0)]
)
def test_aspect_ratios(tmp_path, fit, corner, middle):
    """A wide picture, white but for its black middle; padded, that is above and below."""
    picture = np.full((10, 90), 255, np.uint8)
    picture[:, 30:60] = 0
    if fit == "pad":
        picture[:] = 255
    Image.fromarray(picture).save(tmp_path / "wide.png")
    (image,) = load_image_folder(tmp_path, size=(30, 30), mode="L", fit=fit).images[:, 0]
    assert (image[0, 0], image[15, 15]) == (corner, middle)


def test_a_photograph_stands_as_its_camera_was_held(tmp_path):
    picture = Image.fromarray(np.arange(4, dtype=np.uint8).reshape(2, 2) * 80)
    exif = picture.getexif()
    exif[0x0112] = 3  # upside down
    picture.save(tmp_path / "turned.png", exif=exif)
    found = load_image_folder(tmp_path, size=(2, 2), mode="L").images[0, 0]
    assert found.tolist() == [[240, 160], [80, 0]]


def test_sixteen_bits_are_not_cut_off(tmp_path):
    Image.fromarray(np.array([[0, 256], [32768, 65535]], np.uint16)).save(tmp_path / "deep.png")
    found = load_image_folder(tmp_path, size=(2, 2), mode="L").images[0, 0]
    assert found.tolist() == [[0, 1], [128, 255]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "must be a height and a width"),
        ({"size": (8, 0)}, "must be a height and a width"),
        ({"mode": "CMYK"}, "'RGB', 'L'"),
        ({"fit": "squeeze"}, "'crop', 'pad', 'stretch'"),
        ({"memory_map": "images.dat"}, r"must end in '\.npy'"),
    ],
)
def test_what_is_not_offered_is_refused(folder, options, message):
    with pytest.raises(ValueError, match=message):
        load_image_folder(folder, **options)


def test_folders_without_images_are_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_image_folder(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="none found"):
        load_image_folder(tmp_path / "empty", memory_map=tmp_path / "images.npy")
    (tmp_path / "empty" / "page.png").write_text("<html>")
    with pytest.raises(ValueError, match=r"none of 1 can be read: page\.png, Unidentified"):
        load_image_folder(tmp_path / "empty")


def test_progress_is_shown_on_demand(folder, capfd):
    load_image_folder(folder)
    assert not capfd.readouterr().err
    load_image_folder(folder, verbose=1)
    assert "4/4" in capfd.readouterr().err
