"""Pictures, boxes and masks moved together: what is painted stays in its box and on its mask."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as v2

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.geometry import (
    Placement,
    crop,
    fit,
    flip_horizontal,
    flip_vertical,
    grid_matrix,
    place_boxes,
    place_corners,
    place_mask,
    place_picture,
    resize,
    turn,
)
from vitreous.data.letterbox import letterbox
from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError

SIZE = (60, 80)


def boxes_at(*corners):
    corners = np.array(corners, np.float64).reshape(-1, 4)
    n = len(corners)
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return Boxes(corners, np.arange(n), np.zeros(n, bool), np.zeros(n, bool), areas)


def painted(left, top, right, bottom, size=SIZE):
    pixels = np.zeros((*size, 1), np.uint8)
    pixels[top:bottom, left:right] = 255
    return pixels


@st.composite
def steps(draw):
    """One to three placements after one another, of any kind."""
    placement = None
    for _ in range(draw(st.integers(1, 3))):
        size = SIZE if placement is None else placement.size
        kind = draw(st.sampled_from(["crop", "mirror", "flip", "resize", "fit", "turn"]))
        if kind == "crop":
            step = crop(size, draw(st.integers(-10, 15)), draw(st.integers(-10, 15)),
                        (draw(st.integers(40, 70)), draw(st.integers(40, 90))))  # fmt: skip
        elif kind == "mirror":
            step = flip_horizontal(size)
        elif kind == "flip":
            step = flip_vertical(size)
        elif kind == "resize":
            step = resize(size, (draw(st.integers(40, 120)), draw(st.integers(40, 120))))
        elif kind == "fit":
            step = fit(size, (draw(st.integers(40, 120)), draw(st.integers(40, 120))))
        else:
            step = turn(size, draw(st.floats(-180, 180)), draw(st.floats(0.8, 1.5)),
                        draw(st.floats(-8, 8)), draw(st.floats(-8, 8)))  # fmt: skip
        placement = step if placement is None else placement.then(step)
    return placement


@st.composite
def things(draw):
    left, top = draw(st.integers(0, 60)), draw(st.integers(0, 40))
    return left, top, draw(st.integers(left + 8, 80)), draw(st.integers(top + 8, 60))


def hull(where):
    rows, columns = np.nonzero(where)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)


@settings(max_examples=150, deadline=None)
@given(steps(), things())
def test_a_painted_box_stays_on_its_thing(placement, thing):
    corners = np.array([thing], np.float64)
    whole = place_corners(placement, corners)[0]
    height, width = placement.size
    inside = whole[0] >= 1 and whole[1] >= 1 and whole[2] <= width - 1 and whole[3] <= height - 1
    mask = place_mask(placement, painted(*thing)[..., 0])
    picture = place_picture(placement, painted(*thing), fill=0)[..., 0]
    assert mask.shape == picture.shape == placement.size
    if not inside:  # cut off: nothing of the thing may lie outside its box
        if (found := (mask == 255) & (place_mask(placement, np.ones(SIZE, np.uint8)) == 1)).any():
            low, high = hull(found)[:2], hull(found)[2:]
            assert (low >= whole[:2] - 1).all()
            assert (high <= whole[2:] + 1).all()
        return
    thing_there = (mask == 255) & (place_mask(placement, np.ones(SIZE, np.uint8)) == 1)
    # a corner of a turned box may fall between pixel middles: up to a pixel and a half
    assert np.abs(hull(thing_there) - whole).max() <= 1.5
    assert np.abs(hull(picture > 127) - whole).max() <= 2.5
    placed = place_boxes(placement, boxes_at(thing))
    assert np.allclose(placed.corners, whole[None])


@settings(max_examples=60, deadline=None)
@given(things(), st.lists(st.sampled_from(["mirror", "flip", "crop", "quarter"]), max_size=4))
def test_whole_pixel_moves_are_exact(thing, names):
    placement = Placement(SIZE, SIZE, np.eye(3))
    expected = painted(*thing)[..., 0].astype(np.int64)
    for name in names:
        size = placement.size
        if name == "mirror":
            step, expected = flip_horizontal(size), expected[:, ::-1]
        elif name == "flip":
            step, expected = flip_vertical(size), expected[::-1]
        elif name == "crop":
            step, expected = crop(size, 3, 5, (size[0] - 9, size[1] - 7)), expected[5:-4, 3:-4]
        else:
            step, expected = turn(size, 180), expected[::-1, ::-1]
        placement = placement.then(step)
    assert (place_mask(placement, painted(*thing)[..., 0]) == expected).all()
    assert (place_picture(placement, painted(*thing))[..., 0] == expected).all()
    if (expected == 255).any():
        placed = place_boxes(placement, boxes_at(thing), least_visible=0)
        assert np.allclose(placed.corners[0], hull(expected == 255))


@given(st.lists(st.sampled_from(["mirror", "flip", "crop"]), min_size=1, max_size=4),
       st.integers(0, 2**32 - 1))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_torchvision_moves_its_tv_tensors_alike(names, seed):
    """A picture, its boxes and its mask through the same steps, as tv_tensors and as placements."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (*SIZE, 3), np.uint8)
    mask = random.integers(0, 5, SIZE, np.uint8)
    low = random.integers(0, 40, (4, 2))
    boxes = boxes_at(*np.hstack([low, low + random.integers(5, 20, (4, 2))]))
    theirs = [
        tv_tensors.Image(torch.from_numpy(pixels).permute(2, 0, 1)),
        tv_tensors.BoundingBoxes(torch.from_numpy(boxes.corners), format="XYXY", canvas_size=SIZE),  # type: ignore[call-arg]
        tv_tensors.Mask(torch.from_numpy(mask)),
    ]  # fmt: skip
    placement = Placement(SIZE, SIZE, np.eye(3))
    for name in names:
        height, width = placement.size
        if name == "crop":
            top, left = int(random.integers(0, 8)), int(random.integers(0, 8))
            size = (height - 8, width - 8)
            step = crop(placement.size, left, top, size)
            theirs = [v2.crop(each, top, left, *size) for each in theirs]
        else:
            step = (flip_horizontal if name == "mirror" else flip_vertical)(placement.size)
            move = v2.horizontal_flip if name == "mirror" else v2.vertical_flip
            theirs = [move(each) for each in theirs]
        placement = placement.then(step)
    image, corners, labels = theirs
    np.testing.assert_array_equal(place_picture(placement, pixels), image.permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(place_mask(placement, mask), labels.numpy())
    moved = place_boxes(placement, boxes, least_visible=0.0)
    np.testing.assert_allclose(moved.corners, corners.numpy()[moved.classes], atol=1e-9)
    gone = np.setdiff1d(np.arange(4), moved.classes)
    sides = corners.numpy()[gone]
    assert ((sides[:, 2] <= sides[:, 0]) | (sides[:, 3] <= sides[:, 1])).all()


def test_a_turn_is_clockwise():
    # a point at the right of the middle goes below it, because y runs down
    moved = turn((100, 100), 90).matrix @ [90, 50, 1]
    assert np.allclose(moved[:2], [50, 90])


def test_fit_is_the_letterbox():
    pixels = painted(20, 10, 60, 50, (60, 80))
    boxed = letterbox(pixels, (64, 64), fill=0)
    placed = place_picture(fit((60, 80), (64, 64)), pixels, fill=0)
    assert np.abs(hull(boxed[..., 0] > 127) - hull(placed[..., 0] > 127)).max() <= 1


def test_shrinking_averages_what_it_covers():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    small = place_picture(resize((64, 64), (16, 16)), stripes)
    assert np.abs(small.astype(int) - 128).max() <= 1


def test_boxes_are_cut_off_and_dropped_by_what_is_left():
    placement = crop(SIZE, 40, 0, (60, 40))
    found = boxes_at((30, 10, 50, 20), (0, 0, 41, 10), (5, 5, 20, 20), (50, 30, 60, 40))
    placed = place_boxes(placement, found, least_visible=0.1)
    assert placed.corners.tolist() == [[0, 10, 10, 20], [10, 30, 20, 40]]
    assert placed.classes.tolist() == [0, 3]
    assert placed.areas.tolist() == [200, 100]  # of the whole things
    assert len(place_boxes(placement, found, least_visible=0.0)) == 3
    assert place_boxes(resize(SIZE, (120, 160)), found).areas[0] == 800


def test_outside_is_no_class():
    placed = place_mask(crop(SIZE, -5, 0, SIZE), np.ones(SIZE, np.uint8))
    assert (placed[:, :5] == IGNORE).all()
    assert (placed[:, 5:] == 1).all()


def test_a_colour_picture_is_filled_with_its_mean():
    pixels = np.full((10, 10, 3), (10, 20, 30), np.uint8)
    placed = place_picture(crop((10, 10), -5, 0, (10, 10)), pixels)
    assert (placed == (10, 20, 30)).all()


@settings(max_examples=30, deadline=None)
@given(steps(), st.integers(0, 2**31))
def test_torch_does_the_same_with_the_grid_matrix(placement, seed):
    random = np.random.default_rng(seed)
    smooth = torch.from_numpy(random.random((1, 1, 6, 8))).float()
    pixels = F.interpolate(smooth, SIZE, mode="bicubic").clamp(0, 1).mul(255).round()
    ours = place_picture(placement, pixels[0, 0].numpy().astype(np.uint8)[..., None], fill=0)
    theta = torch.from_numpy(grid_matrix(placement)[None]).float()
    grid = F.affine_grid(theta, [1, 1, *placement.size], align_corners=False)
    theirs = F.grid_sample(pixels, grid, align_corners=False)[0, 0].numpy()
    inside = (grid[0].abs() < 0.95).all(dim=2).numpy()  # at the border they fill differently
    shrinks = abs(np.linalg.det(placement.matrix)) < 0.49  # ours averages then
    if inside.any() and not shrinks:
        assert np.abs(ours[..., 0][inside] - theirs[inside]).max() <= 2


def test_placements_that_do_not_follow():
    with pytest.raises(RequestError, match="pictures of 10 x 10 cannot follow one that gives 60 x"):
        flip_horizontal(SIZE).then(flip_vertical((10, 10)))
