"""Copies are found, look-alikes are not; on photographs, digits and made-up nasty pictures."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits, load_sample_images

from vitreous.data import leaks
from vitreous.data.leaks import Duplicate, clusters, find_duplicates
from vitreous.data.thumbnails import blur, make_thumbnails, signatures
from vitreous.data.transforms import letterbox
from vitreous.errors import RequestError

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def photographs(n, side, seed=0):
    """Crops of two real photographs, empty sky left out; they overlap a little."""
    rng = np.random.default_rng(seed)
    crops = []
    for image in load_sample_images().images:
        step = 48
        crops += [
            image[top : top + 64, left : left + 64]
            for top in range(0, image.shape[0] - 64, step)
            for left in range(0, image.shape[1] - 64, step)
        ]
    crops = [crop for crop in crops if crop.std(axis=(0, 1)).max() > 8]
    assert len(crops) >= n
    chosen = rng.permutation(len(crops))[:n]
    return [letterbox(np.ascontiguousarray(crops[i]), (side, side)) for i in chosen]


def jpeg(pixels, quality=70):
    content = io.BytesIO()
    grey = pixels.shape[2] == 1
    Image.fromarray(pixels[:, :, 0] if grey else pixels).save(content, "JPEG", quality=quality)
    decoded = np.asarray(Image.open(content))
    return decoded[:, :, None] if grey else decoded


def resized(pixels, factor, filter_number):
    grey = pixels.shape[2] == 1
    image = Image.fromarray(pixels[:, :, 0] if grey else pixels)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    small = np.asarray(image.resize(size, FILTERS[filter_number % 3]))
    return letterbox(small[:, :, None] if grey else small, pixels.shape[:2])


def stacked(pictures):
    return np.stack(pictures).transpose(0, 3, 1, 2)


def pairs_of(duplicates):
    return {(pair.first, pair.second) for pair in duplicates}


def digits():
    images = (load_digits().images * 255 / 16).round().astype(np.uint8)
    return [image[:, :, None] for image in images]


CHANGES = {
    "copy": lambda pixels, i: pixels,
    "jpeg": lambda pixels, i: jpeg(pixels),
    "resized": lambda pixels, i: resized(pixels, 0.8 + 0.4 * (i % 41) / 40, i),
    "both": lambda pixels, i: jpeg(resized(pixels, 0.8 + 0.4 * (i % 41) / 40, i)),
    "brighter": lambda pixels, i: np.clip(pixels * 0.9 + 12, 0, 255).astype(np.uint8),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("side", [32, 100])
def test_changed_copies_of_photographs_are_found_and_nothing_else(change, side):
    originals = photographs(150, side)
    copies = [CHANGES[change](pixels, i) for i, pixels in enumerate(originals[:120])]
    found = find_duplicates(stacked(originals + copies), np.arange(270))
    planted = {(i, 150 + i) for i in range(120)}
    assert len(planted & pairs_of(found)) >= 119
    assert not pairs_of(found) - planted
    assert all(pair.exact == (pair.similarity == 1.0) for pair in found) or change == "copy"
    assert all(pair.exact for pair in found) or change != "copy"
    assert all(0.97 <= pair.similarity <= 1 for pair in found)


@pytest.mark.parametrize("change", ["copy", "jpeg", "resized", "both"])
def test_changed_copies_of_digits_are_found_among_look_alikes(change):
    originals = digits()
    copies = [CHANGES[change](pixels, i) for i, pixels in enumerate(originals[:300])]
    found = pairs_of(find_duplicates(stacked(originals + copies), np.arange(len(originals) + 300)))
    planted = {(i, len(originals) + i) for i in range(300)}
    assert len(planted & found) >= 297
    assert len({pair for pair in found if pair[1] < len(originals)}) <= 12  # of 1.6 million pairs


def test_flat_pictures_are_only_exact_copies():
    pixels = np.zeros((6, 3, 32, 32), np.uint8)
    for row, level in enumerate((10, 10, 11, 200, 201, 200)):
        pixels[row] = level
    assert find_duplicates(pixels, np.arange(6)) == [
        Duplicate(0, 1, 1.0, True),
        Duplicate(3, 5, 1.0, True),
    ]


def test_a_faint_trace_of_one_grey_level_is_no_evidence():
    pixels = np.zeros((3, 1, 32, 32), np.uint8)
    for row, level in enumerate((10, 50, 90)):
        pixels[row] = level
        pixels[row, 0, 8:24, 8:24] += 1
    assert find_duplicates(pixels, np.arange(3)) == []


def test_another_colour_of_the_same_light_is_no_copy():
    pixels = np.full((2, 3, 32, 32), 128, np.uint8)
    pixels[0, 0, 4:28, 4:28] += 100  # red
    pixels[1, 1, 4:28, 4:28] += 51  # green: 0.299 * 100 = 0.587 * 51
    light = make_thumbnails(pixels).light
    assert (light[0] - light[1]).abs().max() < 0.1
    assert find_duplicates(pixels, np.arange(2)) == []


def test_the_same_shape_in_another_colour_or_place_is_no_copy():
    pixels = np.full((4, 3, 32, 32), 128, np.uint8)
    pixels[0, 0, 8:24, 8:24] = 255  # red
    pixels[1, 2, 8:24, 8:24] = 255  # blue
    pixels[2, 0, 8:24, 14:30] = 255  # red, moved
    pixels[3, 0, 8:24, 8:24] = 0  # dark
    assert find_duplicates(pixels, np.arange(4)) == []


def test_mirrored_and_turned_pictures_are_others():
    picture = photographs(1, 64)[0]
    pixels = stacked([picture, picture[:, ::-1], picture[::-1], np.rot90(picture)])
    assert find_duplicates(pixels, np.arange(4)) == []


def test_only_the_given_rows_count():
    pixels = stacked(photographs(5, 32) * 2)
    assert pairs_of(find_duplicates(pixels, np.array([8, 0, 5, 3, 1]))) == {(0, 5), (3, 8)}
    assert find_duplicates(pixels, np.array([], int)) == []
    assert find_duplicates(pixels, np.array([2])) == []


def test_across_keeps_pairs_of_different_sides_and_every_picture_that_leaks():
    one, two = photographs(2, 32)
    near = jpeg(one)
    pixels = stacked([one, one, two, one, near, near, two])
    side = np.array(["train", "test", "train", "train", "train", "test", "train"])
    found = find_duplicates(pixels, np.arange(7), across=side)
    assert all(side[pair.first] != side[pair.second] for pair in found)
    assert {row for pair in found for row in (pair.first, pair.second)} == {0, 1, 3, 4, 5}
    exact = {(pair.first, pair.second) for pair in found if pair.exact}
    assert exact == {(0, 1), (1, 3), (4, 5)}
    with pytest.raises(RequestError, match="3 labels for 7 rows"):
        find_duplicates(pixels, np.arange(7), across=side[:3])


def test_many_identical_pictures_are_listed_once_each():
    pixels = np.repeat(stacked(photographs(1, 32)), 500, axis=0)
    assert pairs_of(find_duplicates(pixels, np.arange(500))) == {(0, i) for i in range(1, 500)}


def test_a_still_camera_makes_one_cluster_without_all_its_pairs(monkeypatch):
    monkeypatch.setattr(leaks, "_PAIRS_AT_ONCE", 64)
    monkeypatch.setattr(leaks, "_CROWDED", 1024)
    rng = np.random.default_rng(0)
    still = stacked(photographs(1, 32)).astype(int)
    frames = np.clip(still + rng.integers(-1, 2, (200, 3, 32, 32)), 0, 255).astype(np.uint8)
    found = find_duplicates(frames, np.arange(200))
    assert clusters(found) == [[*range(200)]]
    assert len(found) < 2000


def test_blocks_do_not_change_what_is_found(monkeypatch):
    pictures = photographs(60, 32)
    pixels = stacked(pictures + [jpeg(picture) for picture in pictures])
    whole = find_duplicates(pixels, np.arange(120))
    assert len(whole) == 60
    for name, value in (("_BLOCK_ROWS", 7), ("_BLOCK_COLUMNS", 11), ("_CHUNK_BYTES", 20_000)):
        monkeypatch.setattr(leaks, name, value)
    monkeypatch.setattr(leaks, "_PAIRS_AT_ONCE", 2)
    pieces = find_duplicates(pixels, np.arange(120))
    assert pairs_of(pieces) == pairs_of(whole)


def test_memory_map_and_odd_shapes_and_progress(tmp_path):
    pictures = [letterbox(picture, (20, 70)) for picture in photographs(10, 64)]
    pixels = stacked([*pictures, jpeg(pictures[3], 90)])
    np.save(tmp_path / "pixels.npy", pixels)
    told = []
    mapped = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    found = find_duplicates(mapped, np.arange(11), on_progress=lambda *x: told.append(x))
    assert pairs_of(found) == {(3, 10)}
    assert told == sorted(told)
    assert told[-1] == (22, 22)
    for side in (1, 2, 3):  # nothing to compare, but nothing breaks
        tiny = np.random.default_rng(0).integers(0, 256, (9, 1, side, side), dtype=np.uint8)
        tiny[4] = tiny[2]
        assert (2, 4) in pairs_of(find_duplicates(tiny, np.arange(9)))


def test_clusters_join_what_is_linked():
    links = [(1, 4), (9, 30), (4, 7), (2, 9)]
    assert clusters([Duplicate(*link, 1.0, True) for link in links]) == [[1, 4, 7], [2, 9, 30]]
    assert clusters([]) == []


def test_the_unexplained_rest_is_that_of_least_squares():
    rng = np.random.default_rng(0)
    first = torch.tensor(rng.uniform(0, 255, (5, 12, 9)), dtype=torch.float32)
    second = first * 0.9 + torch.tensor(rng.normal(0, 20, (5, 12, 9)), dtype=torch.float32)
    rest, share = leaks._unexplained(first, second)
    for i in range(5):
        a, b = first[i].double().numpy(), second[i].double().numpy()
        padded = np.pad(a, 1, mode="edge")
        edges = padded[1:-1, 2:] + padded[1:-1, :-2] + padded[2:, 1:-1] + padded[:-2, 1:-1] - 4 * a
        columns = np.stack([np.ones(a.size), a.ravel(), edges.ravel()], axis=1)
        solution = np.linalg.lstsq(columns, b.ravel(), rcond=None)[0]
        left_over = b.ravel() - columns @ solution
        assert rest[i] == pytest.approx(np.sqrt((left_over**2).mean()), rel=1e-4)
        assert share[i] == pytest.approx((left_over**2).mean() / b.var(), rel=1e-4)
    inverted, _ = leaks._unexplained(first, 255 - first)
    assert torch.isinf(inverted).all()


def test_signature_distance_is_the_one_after_equal_contrast():
    light = torch.rand(6, 32, 32) * 255
    cells = signatures(light)
    left, right, _ = leaks._signature_factors(
        light[:, None].round().to(torch.uint8).numpy(), np.arange(6), leaks._Progress(None, 6)
    )
    cells = signatures(make_thumbnails(light[:, None].round().to(torch.uint8).numpy()).light)
    for i in range(6):
        for j in range(6):
            a, b = cells[i].double().numpy(), cells[j].double().numpy()
            geometric = np.sqrt(np.linalg.norm(a) * np.linalg.norm(b))
            same = geometric * (a / np.linalg.norm(a) - b / np.linalg.norm(b))
            assert left[i] @ right[j] == pytest.approx(-(same @ same) / 2, abs=0.01)


def test_blur_is_the_binomial_one():
    plane = np.random.default_rng(0).uniform(0, 255, (1, 1, 6, 7)).astype(np.float32)
    padded = np.pad(plane[0, 0], 1, mode="edge")
    weights = np.outer([1, 2, 1], [1, 2, 1]) / 16
    expected = [
        [(padded[y : y + 3, x : x + 3] * weights).sum() for x in range(7)] for y in range(6)
    ]
    np.testing.assert_allclose(blur(torch.from_numpy(plane))[0, 0], expected, rtol=1e-5)
