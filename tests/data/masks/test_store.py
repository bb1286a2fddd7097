from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from vitreous.data.cache import open_cache
from vitreous.data.masks import store as stores
from vitreous.data.masks.store import mask_format, open_mask_store, scaled
from vitreous.data.recognise import recognise


def write(folder, sizes):
    random = np.random.default_rng(0)
    for number, (height, width) in enumerate(sizes):
        for part in ("images", "masks"):
            (folder / part).mkdir(exist_ok=True, parents=True)
        pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        mask = np.zeros((height, width), np.uint8)
        mask[: height // 2] = 1
        mask[-1, -1] = 255
        Image.fromarray(pixels).save(folder / "images" / f"{number}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{number}.png")
    return recognise(folder, for_training=False)


def opened(source, tmp_path, longer_side=None):
    pixel_format = mask_format(source, longer_side)
    cache = open_cache(source, pixel_format, folder=tmp_path / "cache")
    return cache, open_mask_store(source, cache, pixel_format, folder=tmp_path / "cache")


def test_pictures_of_one_size_are_not_held_twice(tmp_path):
    source = write(tmp_path / "data", [(30, 40)] * 3)
    cache, store = opened(source, tmp_path)
    assert store.pictures is cache.pixels
    for row, sample in enumerate(source.samples):
        assert (store.masks[row] == source.read_mask(sample)).all()
        assert (cache.pixels[row] == source.read(sample, None).pixels.transpose(2, 0, 1)).all()


def test_pictures_of_several_sizes_keep_them(tmp_path):
    source = write(tmp_path / "data", [(30, 40), (31, 22), (50, 64)])
    _, store = opened(source, tmp_path)
    for row, sample in enumerate(source.samples):
        picture = source.read(sample, None).pixels
        assert tuple(store.sizes[row]) == picture.shape[:2]
        assert (store.pictures[row] == picture.transpose(2, 0, 1)).all()
        assert (store.masks[row] == source.read_mask(sample)).all()


def test_all_are_shrunk_by_one_factor(tmp_path):
    source = write(tmp_path / "data", [(30, 40), (60, 80), (31, 40)])
    _, store = opened(source, tmp_path, longer_side=20)
    assert store.sizes.tolist() == [[15, 20], [30, 40], [16, 20]]
    assert store.pictures[1].shape == (3, 30, 40)
    assert set(np.unique(store.masks[1])) <= {0, 1, 255}
    assert store.masks[1][:15].mean() == 1


def test_large_pictures_are_shrunk_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "LONGEST_SIDE", 32)
    source = write(tmp_path / "data", [(48, 64)] * 2)
    found = mask_format(source)
    assert (found.scale, found.size) == (0.5, (24, 32))
    assert "scaled by 0.5, to a median longer side of 32" in found.why


def test_what_was_decoded_is_found_again_and_mended(tmp_path, monkeypatch):
    source = write(tmp_path / "data", [(30, 40), (20, 22)])
    _, store = opened(source, tmp_path)
    kept = [store.masks[row].copy() for row in range(2)]
    entry = next((tmp_path / "cache").glob("pixels-masks-*"))
    built = []
    build = stores._build
    monkeypatch.setattr(stores, "_build", lambda *args: built.append(1) or build(*args))
    opened(source, tmp_path)
    assert not built
    (entry / "masks.u8").write_bytes(b"short")
    _, again = opened(source, tmp_path)
    assert built == [1]
    assert all((again.masks[row] == kept[row]).all() for row in range(2))
    opened(replace(source, classes=("one", "other")), tmp_path)
    assert built == [1, 1]  # other meanings, another entry


@pytest.mark.parametrize(("scale", "wanted"), [(1.0, (3, 5)), (0.1, (1, 1)), (2.0, (6, 10))])
def test_sizes_at_a_scale(scale, wanted):
    assert scaled((3, 5), scale) == wanted
