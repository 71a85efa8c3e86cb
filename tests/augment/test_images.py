"""Random changes of images keep shapes, types and what is meant."""

import math

import pytest
import torch
from torch import nn

from skdeepcluster.augment import ColorJitter, RandomAffine, RandomErasing, RandomFlip, _images

ALL = [RandomAffine(), RandomFlip(), RandomErasing(), ColorJitter()]


@pytest.fixture
def drawn(monkeypatch):
    """Have a change draw given amounts in [-1, 1] instead of random ones."""

    def fix(*amounts):
        fixed = torch.tensor(amounts)[:, None]
        monkeypatch.setattr(_images, "_uniform", lambda n, m, like: fixed.expand(m, n).to(like))

    return fix


def cross(height=41, width=41):
    """An image of a bar to the right of the middle and a shorter one below it."""
    image = torch.zeros(1, 1, height, width)
    image[..., height // 2, width // 2 : -1] = 1  # the edge is what goes on beyond it
    image[..., height // 2 : height // 2 + 11, width // 2] = 1
    return image


@pytest.mark.parametrize("change", ALL, ids=lambda change: type(change).__name__)
@pytest.mark.parametrize("shape", [(5, 1, 8, 8), (3, 3, 9, 7), (1, 1, 1, 1)])
def test_shape_and_type_stay(change, shape):
    images = torch.rand(shape)
    changed = change(images)
    assert changed.shape == images.shape
    assert changed.dtype == images.dtype
    assert torch.isfinite(changed).all()


@pytest.mark.parametrize("change", ALL, ids=lambda change: type(change).__name__)
def test_each_image_is_changed_by_amounts_of_its_own_from_torchs_generator(change):
    images = torch.rand(1, 3, 8, 8).expand(20, 3, 8, 8)
    torch.manual_seed(0)
    changed = change(images)
    assert len({tuple(image.flatten().tolist()) for image in changed}) > 1
    torch.manual_seed(0)
    torch.testing.assert_close(change(images), changed, rtol=0, atol=0)


def test_no_amounts_change_nothing():
    images = torch.rand(4, 2, 9, 7)
    still = RandomAffine(degrees=0, scale=0, shear=0, translate=0)
    torch.testing.assert_close(still(images), images, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ColorJitter(0, 0, 0)(images), images)
    torch.testing.assert_close(RandomErasing(0)(images), images)


@pytest.mark.parametrize("size", [(41, 41), (41, 61)])
def test_a_right_angle_turns_the_bar_whatever_the_sides(drawn, size):
    """What points to the right points up after a turn of a quarter, and is as long as before."""
    drawn(1.0, 0, 0, 0, 0)
    turned = RandomAffine(degrees=90)(cross(*size))[0, 0]
    middle = size[0] // 2, size[1] // 2
    up = turned[: middle[0], middle[1]].sum().item()
    down = turned[middle[0] + 1 :, middle[1]].sum().item()
    assert max(up, down) > 0.95 * min(middle) - 1
    assert min(up, down) < 1


def test_shift_scale_and_slant(drawn):
    image = cross()
    drawn(0, 0, 0, 1.0, 0)
    moved = RandomAffine(translate=5 / 41)(image)
    torch.testing.assert_close(moved[..., :-5], image[..., 5:], atol=1e-4, rtol=0)
    drawn(0, 1.0, 0, 0, 0)
    assert RandomAffine(scale=1.0)(image).sum() < 0.8 * image.sum()  # half as large
    drawn(0, 0, 1.0, 0, 0)
    slanted = RandomAffine(shear=1.0)(image)[0, 0]
    rows = torch.arange(41)
    column = (slanted[25:31] * rows).sum(1) / slanted[25:31].sum(1)
    torch.testing.assert_close(column.diff().abs(), torch.ones(5), atol=0.05, rtol=0)


def test_amounts_stay_within_their_bounds():
    angles = [RandomAffine(10, 0, 0, 0)._maps(torch.zeros(500, 1, 8, 8))[:, 0, 0].acos()]
    largest = torch.cat(angles).max() * 180 / math.pi
    assert 9 < largest <= 10.01


def test_about_half_are_mirrored():
    images = torch.arange(4.0).expand(1000, 1, 1, 4)
    mirrored = (RandomFlip()(images)[..., 0] == 3).float().mean()
    assert 0.4 < mirrored < 0.6


def test_a_rectangle_is_hidden_behind_the_mean():
    images = torch.arange(64.0).reshape(1, 1, 8, 8).expand(200, 1, 8, 8)
    changed = RandomErasing(0.5)(images)
    hidden = changed != images
    assert hidden.any(3).sum(2).max() <= 5
    assert hidden.any()
    assert (changed[hidden] == 31.5).all()


def test_grey_images_have_no_saturation_to_change():
    images = torch.rand(5, 1, 8, 8)
    torch.testing.assert_close(ColorJitter(0, 0, 0.9)(images), images)


def test_they_chain():
    chain = nn.Sequential(*ALL)
    assert chain(torch.rand(5, 3, 8, 8)).shape == (5, 3, 8, 8)
