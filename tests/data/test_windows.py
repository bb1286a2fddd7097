import io

import numpy as np
import pytest
from PIL import Image

import vitreous.data.windows as windows
from benchmarks.tiled_tiff import write_tiled_tiff
from vitreous.data.pictures import read_picture
from vitreous.data.windows import Shrunk, TiffWindows, WholePicture, open_windows
from vitreous.errors import DataError

SIZE = (150, 233)


def picture(channels=3, size=SIZE):
    return np.random.default_rng(0).integers(0, 256, (*size, channels), dtype=np.uint8)


def tiled(path, pixels, **settings):
    write_tiled_tiff(
        path,
        pixels.shape[:2],
        lambda top, left, bottom, right: pixels[top:bottom, left:right],
        channels=pixels.shape[2],
        **settings,
    )
    return path


@pytest.mark.parametrize("settings", [
    {"tile": 64}, {"tile": 64, "deflate": True}, {"tile": 48, "order": ">"},
    {"tile": 256, "channels": 1},
])  # fmt: skip
def test_any_window_of_a_tiled_file_is_that_part_of_the_picture(tmp_path, settings):
    pixels = picture(settings.pop("channels", 3))
    path = tiled(tmp_path / "a.tif", pixels, **settings)
    opened = TiffWindows(path, "a.tif", pixels.shape[2])
    assert opened.size == SIZE
    for top, left, bottom, right in [(0, 0, *SIZE), (60, 60, 70, 200), (149, 232, 150, 233)]:
        part = opened.read(top, left, bottom, right)
        assert (part == pixels[top:bottom, left:right].transpose(2, 0, 1)).all()


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_strips_as_pillow_writes_them(tmp_path, compression):
    path = tmp_path / "strips.tif"
    Image.fromarray(picture()).save(path, compression=compression, tiffinfo={278: 16})
    whole = read_picture(path, "strips.tif").pixels
    part = TiffWindows(path, "strips.tif", 3).read(10, 5, 140, 60)
    assert (part == whole[10:140, 5:60].transpose(2, 0, 1)).all()


def test_palettes_and_jpeg_strips_are_decoded_as_in_the_whole_file(tmp_path):
    photo = Image.fromarray(np.kron(picture(size=(15, 24)), np.ones((10, 10, 1), np.uint8)))
    photo.quantize(16).save(tmp_path / "palette.tif", compression="tiff_lzw")
    photo.save(tmp_path / "jpeg.tif", compression="jpeg", quality=90)
    for name in ("palette.tif", "jpeg.tif"):
        whole = read_picture(tmp_path / name, name).pixels
        part = TiffWindows(tmp_path / name, name, 3).read(0, 3, 150, 200)
        assert (part == whole[0:150, 3:200].transpose(2, 0, 1)).all()


def test_blocks_are_held_only_up_to_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(windows, "HELD_BYTES", 3 * 64 * 64 * 3)
    opened = TiffWindows(tiled(tmp_path / "a.tif", picture(), tile=64), "a.tif", 3)
    opened.read(0, 0, *SIZE)
    assert len(opened._held) == 3


def test_small_files_are_decoded_whole_and_large_ones_by_windows(tmp_path, monkeypatch):
    path = tiled(tmp_path / "a.tif", picture(), tile=64)
    assert isinstance(open_windows(path, "a.tif", 3), WholePicture)
    monkeypatch.setattr(windows, "WHOLE_PIXELS", 64 * 64)
    large = open_windows(path, "a.tif", 1, max_pixels=10)  # the limit is for whole pictures
    assert isinstance(large, TiffWindows)
    assert large.read(0, 0, 10, 20).shape == (1, 10, 20)


def test_what_cannot_be_read_by_windows_is_said_in_one_line(tmp_path):
    path = tiled(tmp_path / "a.tif", picture(), tile=64)
    content = bytearray(path.read_bytes())
    turned = io.BytesIO()
    Image.fromarray(picture()).save(turned, "TIFF", tiffinfo={274: 6})
    (tmp_path / "turned.tif").write_bytes(turned.getvalue())
    with pytest.raises(DataError, match="turned by its orientation; save it upright"):
        TiffWindows(tmp_path / "turned.tif", "turned.tif", 3)
    (tmp_path / "cut.tif").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"cut\.tif: damaged TIFF"):
        TiffWindows(tmp_path / "cut.tif", "cut.tif", 3)


def test_a_shrunk_picture_is_the_same_read_whole_or_in_parts():
    smooth = np.kron(picture(1, (12, 20))[..., 0], np.ones((20, 20))).astype(np.uint8)
    whole = WholePicture(np.asarray(Image.fromarray(smooth).resize((400, 240)))[None])
    shrunk = Shrunk(whole, (60, 100))
    all_of_it = shrunk.read(0, 0, 60, 100)
    part = shrunk.read(12, 20, 48, 90)
    inner = (slice(None), slice(3, -3), slice(3, -3))
    assert np.abs(part.astype(int) - all_of_it[:, 12:48, 20:90])[inner].max() <= 1
