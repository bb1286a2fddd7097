"""Polygons and run lengths beside pycocotools, and by the slow form."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from PIL import Image
from sklearn.datasets import load_sample_image

from vitreous.data.masks.shapes import (
    decode_letters,
    decode_runs,
    encode_letters,
    encode_runs,
    fill_polygon,
    fill_polygons,
    region_of,
)
from vitreous.data.recognise import recognise
from vitreous.errors import DataError

coco_masks = pytest.importorskip("pycocotools.mask")


def regions():
    return st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1),
                     st.floats(0, 1)).map(
        lambda p: np.random.default_rng(p[2]).random((p[0], p[1])) < p[3]
    )  # fmt: skip


@given(regions())
def test_runs_and_letters_come_back(region):
    lengths = encode_runs(region)
    assert (decode_runs(lengths, region.shape) == region).all()
    assert decode_letters(encode_letters(lengths)) == lengths


@given(regions())
def test_letters_are_those_of_pycocotools(region):
    theirs = coco_masks.encode(np.asfortranarray(region.astype(np.uint8)))
    assert encode_letters(encode_runs(region)) == theirs["counts"].decode()
    assert (region_of(theirs, region.shape) == region).all()


def test_long_runs_beside_pycocotools():
    region = np.zeros((700, 900), bool)
    region[100:650, 30:870] = True
    region[300, 200:400] = False
    theirs = coco_masks.encode(np.asfortranarray(region.astype(np.uint8)))
    assert encode_letters(encode_runs(region)) == theirs["counts"].decode()
    assert (decode_runs(decode_letters(theirs["counts"]), region.shape) == region).all()


@settings(max_examples=50)
@given(st.integers(3, 8), st.integers(0, 2**32 - 1))
def test_a_polygon_holds_the_pixels_whose_middle_it_holds(corners, seed):
    random = np.random.default_rng(seed)
    points = random.uniform(-4, 24, (corners, 2))
    height, width = 17, 21
    filled = fill_polygon(points.ravel().tolist(), (height, width))
    # the even-odd rule, one ray a pixel: how often does the outline cross to the left of it?
    expected = np.zeros((height, width), bool)
    following = np.roll(points, -1, axis=0)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5, row + 0.5
            crossings = 0
            for (x0, y0), (x1, y1) in zip(points, following, strict=True):
                if (y0 <= y < y1) or (y1 <= y < y0):
                    crossings += x0 + (y - y0) / (y1 - y0) * (x1 - x0) <= x
            expected[row, column] = crossings % 2 == 1
    assert (filled == expected).all()


def test_a_convex_polygon_beside_matplotlib():
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    points = np.stack([30 + 21.3 * np.cos(angles), 25 + 17.7 * np.sin(angles)], axis=1)
    filled = fill_polygon(points.ravel(), (50, 60))
    y, x = np.mgrid[:50, :60] + 0.5
    inside = Outline(points).contains_points(np.stack([x.ravel(), y.ravel()], axis=1))
    assert (filled == inside.reshape(50, 60)).all()


# pycocotools' own arrays are older than NumPy 2's way of copying
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1))
def test_a_polygon_differs_from_pycocotools_at_its_border_alone(seed):
    random = np.random.default_rng(seed)
    angles = np.sort(random.uniform(0, 2 * np.pi, 12))
    radii = random.uniform(10, 28, 12)
    points = np.stack([32 + radii * np.cos(angles), 32 + radii * np.sin(angles)], axis=1)
    ours = fill_polygon(points.ravel(), (64, 64))
    theirs = coco_masks.decode(coco_masks.frPyObjects([points.ravel().tolist()], 64, 64))[..., 0]
    y, x = np.nonzero(ours != theirs.astype(bool))
    assert len(x) < 0.1 * ours.sum()
    assert (_distance_to_outline(np.stack([x, y], axis=1) + 0.5, points) < 1).all()


def _distance_to_outline(places, points):
    along = np.roll(points, -1, axis=0) - points
    from_start = places[:, None] - points[None]
    share = (from_start * along).sum(axis=2) / (along**2).sum(axis=1)
    nearest = points + share.clip(0, 1)[..., None] * along
    return np.linalg.norm(places[:, None] - nearest, axis=2).min(axis=1, initial=np.inf)


def test_parts_of_one_thing_are_joined():
    left, right = [0, 0, 2, 0, 2, 4, 0, 4], [3, 0, 5, 0, 5, 4, 3, 4]
    filled = fill_polygons([left, right], (4, 6))
    assert filled.astype(int).tolist() == [[1, 1, 0, 1, 1, 0]] * 4


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        ([[1, 2, 3, 4]], "a polygon of 4 numbers"),
        ([[1, 2, 3, 4, 5, float("nan")]], "a polygon of 6 numbers"),
        ({"size": [4, 4], "counts": [3, 4]}, "do not add up to 4 x 4"),
        ({"size": [9, 4], "counts": [36]}, "a region of 9 x 4, the picture is 4 x 4"),
        ({"size": [4, 4], "counts": "\x7f"}, "none of COCO's"),
        ({"size": [4, 4], "counts": "P"}, "end in the middle"),
        ([], "neither polygons nor run lengths"),
        (None, "neither polygons nor run lengths"),
    ],
)
def test_regions_that_are_none(segmentation, words):
    with pytest.raises(DataError, match=words):
        region_of(segmentation, (4, 4))


@pytest.fixture
def outlined(tmp_path):
    """`outlined({"a.png": [annotation, ...]})`: a COCO folder of regions."""

    def write(labels):
        photograph = Image.fromarray(load_sample_image("china.jpg"))
        for number, name in enumerate(labels):
            (tmp_path / "images").mkdir(exist_ok=True)
            photograph.crop((number, 0, number + 12, 10)).save(tmp_path / "images" / name)
        value = {
            "images": [
                {"id": n, "file_name": name, "height": 10, "width": 12}
                for n, name in enumerate(labels)
            ],
            "categories": [{"id": 5, "name": "dog"}, {"id": 3, "name": "cat"}],
            "annotations": [
                {"id": 10 * n + place, "image_id": n, **entry}
                for n, entries in enumerate(labels.values())
                for place, entry in enumerate(entries)
            ],
        }
        (tmp_path / "regions.json").write_text(json.dumps(value))
        return tmp_path

    return write


LARGE = {"category_id": 3, "bbox": [0, 0, 12, 8], "segmentation": [[0, 0, 12, 0, 12, 8, 0, 8]]}
SMALL = {"category_id": 5, "bbox": [2, 2, 3, 3], "segmentation": [[2, 2, 5, 2, 5, 5, 2, 5]]}


def test_regions_become_masks_with_the_small_on_top(outlined):
    for entries in ([LARGE, SMALL], [SMALL, LARGE]):
        source = recognise(outlined({"a.png": entries, "b.png": []}), task="segment")
        assert source.classes == ("background", "cat", "dog")
        expected = np.zeros((10, 12), int)
        expected[:8] = 1
        expected[2:5, 2:5] = 2
        assert (source.read_mask(source.samples[0]) == expected).all()
        assert source.samples[0].label.pixels.tolist() == [24, 87, 9]
        assert source.samples[1].label.pixels.tolist() == [120, 0, 0]


def test_the_same_file_gives_boxes_unless_asked(outlined):
    root = outlined({"a.png": [LARGE, SMALL], "b.png": []})
    assert recognise(root).label_kind == "boxes"
    bare = {key: value for key, value in LARGE.items() if key != "bbox"}
    assert recognise(outlined({"a.png": [bare], "b.png": []})).label_kind == "mask"


def test_flaws_of_regions(outlined):
    root = outlined({
        "a.png": [LARGE],
        "b.png": [{**LARGE, "segmentation": [[1, 2]]}],
        "c.png": [{**LARGE, "category_id": 4}],
    })  # fmt: skip
    reasons = {s.path: s.reason for s in recognise(root, task="segment").skipped}
    assert reasons["images/b.png"] == (
        "regions.json: annotation 10 has a polygon of 2 numbers; x and y of three corners at "
        "least; outline it anew or remove it"
    )
    assert "class number without a name" in reasons["images/c.png"]
