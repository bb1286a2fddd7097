"""Scans as pages carry them: their own values in their own places, however the file lay."""

import zlib
from base64 import b64decode

import numpy as np
import pytest
from tests.made_scans import affine_of, blob, body

from vitreous.data.volumes.grid import Grid, turn_to_ras
from vitreous.data.volumes.volume import turned
from vitreous.report.scan_pages import ListedScan, scan_page, scans_page
from vitreous.report.scan_shown import scan_shown, shown_words

CLASSES = ("background", "front", "<b>back</b>")


def volume_of(values, affine=None):
    """A volume of an array that lies along the axes right, front, head."""
    grid = Grid(values.shape, affine_of() if affine is None else affine)
    return turned(values[None], grid, turn_to_ras(grid))


def unpacked(shown):
    """Values (depth, height, width) and masks, by another way than the page's script."""
    shape = tuple(shown["shape"])
    low, high = np.frombuffer(zlib.decompress(b64decode(shown["values"])), np.uint8).reshape(
        2, *shape
    )
    share = (low.astype(float) + 256 * high.astype(float)) / 4095
    values = shown["least"] + share * (shown["greatest"] - shown["least"])
    masks = {
        one["name"]: np.frombuffer(zlib.decompress(b64decode(one["voxels"])), np.uint8).reshape(
            shape
        )
        for one in shown["masks"]
    }
    return values, masks


def masks_of(volume, *centres):
    return {
        name: blob(volume.values.shape[1:], centre, 3).astype(np.uint8)
        for name, centre in zip(("truth", "answer"), centres, strict=False)
    }


def test_values_and_masks_come_back_with_their_places():
    affine = affine_of((0.7, 1.1, 2.5), (-20.0, 5.0, 30.0))
    volume = volume_of(body((30, 26, 14), 1), affine)
    masks = masks_of(volume, (6, 12, 14), (7, 12, 14))
    shown = scan_shown(volume, masks, CLASSES)
    values, found = unpacked(shown)
    range_of = volume.values.max() - volume.values.min()
    assert np.abs(values - volume.values[0]).max() <= 0.51 * range_of / 4095
    assert all(np.array_equal(found[name], mask) for name, mask in masks.items())
    assert shown["spacing_mm"] == pytest.approx([2.5, 1.1, 0.7])
    places = np.array(shown["places"])
    index = np.array([3, 8, 21])  # depth, height, width
    assert places @ [*index, 1] == pytest.approx((affine @ [21, 8, 3, 1])[:3])
    assert tuple(shown["point"]) == (6, 12, 14)
    assert [one["name"] for one in shown["classes"]] == ["front", "<b>back</b>"]


def test_hounsfield_units_from_air_to_bone_are_exact_and_have_their_windows():
    values = np.random.default_rng(0).integers(-1024, 3072, (9, 8, 7)).astype(np.float32)
    values[0, 0, :2] = -1024, 3071
    shown = scan_shown(volume_of(values), {}, ("background",), modality="CT")
    assert np.array_equal(np.rint(unpacked(shown)[0]), volume_of(values).values[0])
    assert shown["windows"]["brain"] == [0.0, 80.0]
    assert scan_shown(volume_of(values), {}, ("background",), modality="MR")["windows"] == {}


@pytest.mark.parametrize("axes", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
@pytest.mark.parametrize("back", [(0,), (1, 2), ()])
def test_a_turned_copy_of_a_scan_is_shown_alike(axes, back):
    values, affine = body((12, 10, 8), 2), affine_of((1.0, 1.5, 2.0), (3.0, 4.0, 5.0))
    plain = scan_shown(volume_of(values, affine), {}, CLASSES)
    laid, matrix = values.transpose(axes), affine.copy()
    matrix[:, :3] = affine[:, list(axes)]
    for axis in back:
        laid = np.flip(laid, axis)
        matrix[:, 3] += matrix[:, axis] * (laid.shape[axis] - 1)
        matrix[:, axis] *= -1
    assert scan_shown(volume_of(np.ascontiguousarray(laid), matrix), {}, CLASSES) == plain


def test_a_large_scan_is_cut_to_its_structures_and_thinned_along_its_finest_axes():
    volume = volume_of(body((60, 50, 40), 3), affine_of((1.0, 1.0, 3.0)))
    masks = masks_of(volume, (20, 12, 50))
    cut = scan_shown(volume, masks, CLASSES, most_voxels=45_000)
    values, found = unpacked(cut)
    parts = tuple(
        slice(a, a + n * by, by)
        for a, n, by in zip(cut["first"], cut["shape"], cut["step"], strict=True)
    )
    assert cut["step"] == [1, 1, 1]
    assert np.prod(cut["shape"]) <= 45_000 < np.prod(cut["whole"])
    assert found["truth"].sum() == masks["truth"].sum()
    assert np.array_equal(found["truth"], masks["truth"][parts])
    thinned = scan_shown(volume, masks, CLASSES, most_voxels=8_000)
    values, found = unpacked(thinned)
    assert np.prod(thinned["shape"]) <= 8_000
    depth, height, width = thinned["step"]
    assert depth <= min(height, width)  # slices lie furthest apart already
    assert height > 1
    parts = tuple(
        slice(a, a + n * by, by)
        for a, n, by in zip(thinned["first"], thinned["shape"], thinned["step"], strict=True)
    )
    own = volume.values[0][parts]
    assert np.abs(values - own).max() <= 0.51 * (own.max() - own.min()) / 4095
    place = np.array(thinned["places"]) @ [1, 1, 1, 1]
    where = np.array(thinned["first"]) + thinned["step"]
    assert place == pytest.approx((volume.grid.affine @ [*where, 1])[:3])
    assert "one voxel of each" in shown_words(thinned)
    assert "60 x" not in shown_words(thinned).split("voxels")[0].replace("40 x 50 x 60", "")


def test_pages_of_answers_escape_names_and_list_what_failed():
    volume = volume_of(body((12, 10, 8), 4))
    shown = scan_shown(volume, masks_of(volume, (4, 5, 6)), CLASSES)
    listed = ListedScan("a/<i>b", {"front": 1.25, "<b>back</b>": 0.0}, 0.9, "pages/a/b.html", None)
    page = scan_page(listed, shown)
    assert "<b>back</b>" not in page.replace("</b>", "</b>").split("<main")[1].split("<script")[0]
    assert 'href="../../index.html"' in page
    assert "1.25" in page
    every = scans_page(CLASSES[1:], [listed, ListedScan("c", {}, None, None, "c: damaged")])
    assert 'href="pages/a/b.html"' in every
    assert "c: damaged" in every
    assert "1\xa0scan with an error" in every
