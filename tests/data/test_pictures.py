"""Decoding: equal to Pillow where Pillow is right, strict where it is lenient, and by name."""

import io
import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, ImageOps
from sklearn.datasets import load_sample_image

from vitreous.data.content import describe_content, picture_format
from vitreous.data.pictures import (
    decode,
    grey_to_8_bits,
    read_header,
    read_picture,
    reason_of,
)
from vitreous.errors import DataError

PHOTO = Image.fromarray(load_sample_image("flower.jpg")).resize((83, 61))


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def with_alpha(image):
    image = image.copy()
    image.putalpha(image.convert("L").transpose(Image.Transpose.ROTATE_180))
    return image


FILES = {
    "jpeg": encoded(PHOTO, "JPEG", quality=90),
    "jpeg 444": encoded(PHOTO, "JPEG", subsampling=0),
    "jpeg progressive": encoded(PHOTO, "JPEG", progressive=True),
    "jpeg grey": encoded(PHOTO.convert("L"), "JPEG"),
    "jpeg cmyk": encoded(PHOTO.convert("CMYK"), "JPEG"),
    "png": encoded(PHOTO, "PNG"),
    "png grey": encoded(PHOTO.convert("L"), "PNG"),
    "png 1 bit": encoded(PHOTO.convert("1"), "PNG"),
    "png palette": encoded(PHOTO.convert("P"), "PNG"),
    "webp": encoded(PHOTO, "WEBP"),
    "webp lossless": encoded(PHOTO, "WEBP", lossless=True),
    "tiff": encoded(PHOTO, "TIFF"),
    "tiff lzw": encoded(PHOTO, "TIFF", compression="tiff_lzw"),
    "tiff grey": encoded(PHOTO.convert("L"), "TIFF"),
    "tiff cmyk": encoded(PHOTO.convert("CMYK"), "TIFF"),
    "bmp": encoded(PHOTO, "BMP"),
    "bmp grey": encoded(PHOTO.convert("L"), "BMP"),
    "gif": encoded(PHOTO, "GIF"),
}
GREY = {name for name in FILES if "grey" in name or "1 bit" in name}


@pytest.mark.parametrize("name", FILES)
def test_equals_pillow(name):
    picture = decode(FILES[name], name)
    expected = np.asarray(Image.open(io.BytesIO(FILES[name])).convert("RGB"))
    if name in GREY:
        assert picture.pixels.shape == (61, 83, 1)
        expected = expected[..., :1]
    np.testing.assert_array_equal(picture.pixels, expected)
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags["C_CONTIGUOUS"]
    assert picture.size == (61, 83)


def test_ycck_equals_pillow():
    """Pillow writes plain CMYK; the byte of Adobe's marker that says YCCK is set by hand."""
    content = bytearray(encoded(PHOTO.convert("CMYK"), "JPEG"))
    marker = content.index(b"Adobe")
    assert content[marker + 11] == 0
    content[marker + 11] = 2
    expected = Image.open(io.BytesIO(bytes(content))).convert("RGB")
    pixels = decode(bytes(content), "ycck.jpg").pixels
    assert np.abs(pixels.astype(int) - np.asarray(expected)).max() <= 2
    assert np.abs(pixels.astype(int) - decode(FILES["jpeg cmyk"], "").pixels).max() > 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_equals_pillow(orientation, form):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(PHOTO, form, exif=exif)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    picture = decode(content, "turned")
    np.testing.assert_array_equal(picture.pixels, np.asarray(expected))
    height, width = picture.pixels.shape[:2]
    assert picture.size == (height, width) == ((83, 61) if orientation >= 5 else (61, 83))
    assert read_header(content, "turned").size == picture.size


def test_broken_exif_does_not_cost_a_sound_picture():
    content = encoded(PHOTO, "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken")
    expected = decode(encoded(PHOTO, "JPEG"), "x").pixels
    np.testing.assert_array_equal(decode(content, "x").pixels, expected)


def test_16_bits_by_the_whole_range():
    values = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
    for form in ("PNG", "TIFF"):
        pixels = decode(encoded(Image.fromarray(values), form), form).pixels
        np.testing.assert_array_equal(pixels[..., 0], [[0, 0, 1, 1, 128, 255]])


@given(st.integers(0, 65535), st.sampled_from([255, 1023, 4095, 65535]))
def test_grey_to_8_bits_is_rounding(value, maximum):
    value = min(value, maximum)
    exact = 255 * value / maximum
    found = int(grey_to_8_bits(np.array([value], np.uint16), maximum)[0])
    assert abs(found - exact) <= 0.5 + 1e-9


def test_16_bit_tiff_where_0_is_white():
    values = np.array([[0, 65535]], np.uint16)
    content = encoded(Image.fromarray(values), "TIFF", tiffinfo={262: 0})
    np.testing.assert_array_equal(decode(content, "x").pixels[0, :, 0], [255, 0])


def tiff_of_12_bits(values):
    """A plain TIFF with one row of packed 12-bit values, as microscopes write them."""
    row = b"".join(
        (one << 12 | two).to_bytes(3, "big")
        for one, two in zip(values[::2], values[1::2], strict=True)
    )
    tags = [(256, len(values)), (257, 1), (258, 12), (259, 1), (262, 1), (273, 8), (277, 1),
            (278, 1), (279, len(row))]  # fmt: skip
    directory = len(tags).to_bytes(2, "little")
    for tag, value in tags:
        directory += b"".join(
            number.to_bytes(size, "little")
            for number, size in ((tag, 2), (4, 2), (1, 4), (value, 4))
        )
    return b"II*\0" + (8 + len(row)).to_bytes(4, "little") + row + directory + bytes(4)


def test_12_bits_by_their_range():
    pixels = decode(tiff_of_12_bits([0, 2048, 4095, 16]), "x").pixels
    np.testing.assert_array_equal(pixels[0, :, 0], [0, 128, 255, 1])


def test_a_jpeg_with_lost_pixels_is_refused():
    """libjpeg fills up what it cannot read with grey and only warns; Pillow hides the warning."""
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    content = bytearray(encoded(photograph, "JPEG", quality=90))
    middle = len(content) // 2
    content[middle : middle + 50] = bytes(50)
    Image.open(io.BytesIO(bytes(content))).load()  # no complaint
    with pytest.raises(DataError, match="damaged JPEG: Corrupt JPEG data"):
        decode(bytes(content), "x")


@pytest.mark.parametrize(
    ("mode", "words"), [("F", "floating-point pixels"), ("I", "32-bit or signed pixels")]
)
def test_pixels_without_a_known_range_are_refused(mode, words):
    with pytest.raises(DataError, match=f"scan.tif: {words}, whose range is not known"):
        decode(encoded(PHOTO.convert("L").convert(mode), "TIFF"), "scan.tif")


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_on_white(form):
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    image = with_alpha(PHOTO)
    values = np.asarray(image).astype(float)
    alpha = values[..., 3:] / 255
    expected = values[..., :3] * alpha + 255 * (1 - alpha)
    pixels = decode(encoded(image, form, **options), "x").pixels
    assert np.abs(pixels - expected).max() <= 1


def test_grey_and_palette_transparency():
    grey = with_alpha(PHOTO).convert("LA")
    pixels = decode(encoded(grey, "PNG"), "x").pixels
    assert pixels.shape == (61, 83, 1)
    palette = PHOTO.convert("P")
    first = palette.getpixel((0, 0))
    pixels = decode(encoded(palette, "PNG", transparency=first), "x").pixels
    np.testing.assert_array_equal(pixels[0, 0], [255, 255, 255])


def test_only_the_first_frame_is_read():
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "blue")]
    for form in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if form == "WEBP" else {}
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode(content, form).pixels[3, 4], [255, 0, 0])


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(8, 300), st.integers(8, 300)),
    side=st.integers(1, 300),
    grey=st.booleans(),
)
def test_scaled_decoding_keeps_the_shorter_side(size, side, grey):
    image = PHOTO.resize(size[::-1]).convert("L" if grey else "RGB")
    picture = decode(encoded(image, "JPEG"), "x", minimum_side=side)
    assert picture.size == size
    assert min(picture.pixels.shape[:2]) >= min(side, min(size))
    assert picture.pixels.shape[0] <= size[0]
    assert picture.pixels.shape[1] <= size[1]


def test_scaled_decoding_shows_the_same_picture_and_is_smaller():
    photograph = Image.fromarray(load_sample_image("china.jpg"))
    content = encoded(photograph, "JPEG", quality=95)
    small = decode(content, "x", minimum_side=100).pixels
    height, width = small.shape[:2]
    assert 100 <= height <= 120
    expected = np.asarray(photograph.resize((width, height), Image.Resampling.BOX)).astype(int)
    assert np.abs(small - expected).mean() < 4
    assert np.abs(small[::-1] - expected).mean() > 40


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_cut_file_is_refused_or_whole(name, data):
    """Never half a picture: either the reason, or all the pixels (the cut took a trailer only)."""
    content = FILES[name]
    cut = data.draw(st.integers(0, len(content) - 1) | st.integers(len(content) - 40, len(content) - 1))  # fmt: skip  # noqa: E501
    whole = decode(content, name).pixels
    try:
        pixels, reason = decode(content[:cut], name).pixels, ""
    except DataError as error:
        pixels, reason = whole, str(error)
    np.testing.assert_array_equal(pixels, whole)
    assert reason == "" or reason.startswith(f"{name}: ")
    assert "\n" not in reason


@pytest.mark.parametrize("name", ["jpeg", "jpeg progressive", "jpeg cmyk", "png", "webp", "gif"])
def test_a_truncated_file_says_so(name):
    content = FILES[name]
    for share in (0.3, 0.6, 0.9):
        with pytest.raises(DataError, match=r"half\.x: truncated \w+: the file ends too early"):
            decode(content[: int(len(content) * share)], "half.x")


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")
def test_damage_gives_a_data_error_or_a_picture(name, data):
    content = bytearray(FILES[name])
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        picture = decode(bytes(content), name, max_pixels=10_000_000)
    except DataError:
        return
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.shape[2] in (1, 3)


@given(st.binary(max_size=300))
def test_noise_is_no_picture(content):
    with pytest.raises(DataError):
        decode(content, "noise")


BAD = {
    "empty.jpg": (b"", r"the file is empty \(0 bytes\)"),
    "notes.jpg": (b"Dear diary,\nnot a picture\n", "not a picture: text"),
    "page.png": (b"<!DOCTYPE html><html>404", "not a picture: a web page"),
    "zeros.jpg": (bytes(5000), "not a picture: zeros only"),
    "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(80), "not a picture: an HEIC picture; convert"),
    "scan.jpg": (bytes(128) + b"DICM" + b"\2\0", "not a picture: a DICOM file"),
    "paper.png": (b"%PDF-1.4\n\x93\x8b", "not a picture: a PDF document"),
    "large.jpg": (b"version https://git-lfs.github.com/spec/v1\noid", "a Git LFS pointer"),
    "noise.jpg": (bytes([200, 3, 129, 0, 7, 1, 250, 6]) * 9, "unknown content, starting with"),
}


@pytest.mark.parametrize("name", BAD)
def test_content_that_is_no_picture_is_named(name):
    content, words = BAD[name]
    with pytest.raises(DataError, match=f"^{name}: .*{words}") as caught:
        decode(content, name)
    assert reason_of(caught.value, name) == str(caught.value)[len(name) + 2 :]
    with pytest.raises(DataError, match=words):
        read_header(content, name)


def test_the_content_decides_not_the_suffix(tmp_path):
    path = tmp_path / "really-a-png.jpg"
    path.write_bytes(FILES["png"])
    assert read_header(path, "x").format == "PNG"
    np.testing.assert_array_equal(read_picture(path, "x").pixels, decode(FILES["png"], "").pixels)


def png_chunk(kind, body):
    check = zlib.crc32(kind + body).to_bytes(4, "big")
    return len(body).to_bytes(4, "big") + kind + body + check


def png_bomb(side):
    """A valid 1-bit PNG of side x side pixels in a few kilobytes."""
    header = side.to_bytes(4, "big") * 2 + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes((side // 8 + 1) * 64), 9)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", rows)
        + png_chunk(b"IEND", b"")
    )


def webp_claiming(width, height):
    body = b"VP8X" + (10).to_bytes(4, "little") + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body + bytes(20)


def jpeg_claiming(height, width):
    content = bytearray(FILES["jpeg"])
    frame = content.index(b"\xff\xc0")
    content[frame + 5 : frame + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [png_bomb(30_000), webp_claiming(30_000, 30_000), jpeg_claiming(30_000, 30_000)],
    ids=["png", "webp", "jpeg"],
)
def test_a_bomb_is_not_decoded(content):
    import tracemalloc

    tracemalloc.start()
    with pytest.raises(DataError, match=r"30000 x 30000 = 900,000,000 pixels, .*--max-pixels"):
        decode(content, "bomb")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_the_limit_can_be_raised_and_lowered():
    with pytest.raises(DataError, match="61 x 83 = 5,063 pixels, more than 5,000: not decoded"):
        decode(FILES["png"], "x", max_pixels=5_000)
    assert decode(FILES["png"], "x", max_pixels=5_063).size == (61, 83)
    big = Image.new("1", (10_000, 9_500))  # more than Pillow's own limit for a warning
    assert decode(encoded(big, "PNG"), "x").size == (9_500, 10_000)


def test_pillows_switches_are_left_alone():
    before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    for content in (*FILES.values(), png_bomb(30_000), FILES["png"][:90]):
        with suppress(DataError):
            decode(content, "x")
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


def test_threads_decode_the_same():
    names = list(FILES) * 8
    alone = {name: decode(FILES[name], name).pixels for name in FILES}
    with ThreadPoolExecutor(8) as threads:
        for name, picture in zip(names, threads.map(lambda n: decode(FILES[n], n), names), strict=True):  # fmt: skip  # noqa: E501
            np.testing.assert_array_equal(picture.pixels, alone[name])


def test_files_that_cannot_be_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name, words in (
        ("missing.jpg", "not found"),
        ("pipe.jpg", "not a regular file"),
        ("folder.jpg", "a folder"),
    ):
        with pytest.raises(DataError, match=f"^{name}: {words}$"):
            read_picture(tmp_path / name, name)
        with pytest.raises(DataError, match=f"^{name}: {words}$"):
            read_header(tmp_path / name, name)


def test_permission_denied(open_folder, as_nobody):
    path = open_folder / "secret.jpg"
    path.write_bytes(FILES["jpeg"])
    path.chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"^secret.jpg: not readable: permission denied"):  # fmt: skip  # noqa: E501
        read_picture(path, "secret.jpg")


@pytest.mark.parametrize(
    ("content", "form", "mode", "channels", "bits", "transparent"),
    [
        (FILES["jpeg"], "JPEG", "RGB", 3, 8, False),
        (FILES["jpeg grey"], "JPEG", "L", 1, 8, False),
        (FILES["jpeg cmyk"], "JPEG", "CMYK", 3, 8, False),
        (FILES["png palette"], "PNG", "P", 3, 8, False),
        (FILES["png 1 bit"], "PNG", "1", 1, 1, False),
        (FILES["webp"], "WebP", "RGB", 3, 8, False),
        (FILES["tiff"], "TIFF", "RGB", 3, 8, False),
        (encoded(with_alpha(PHOTO), "PNG"), "PNG", "RGBA", 3, 8, True),
        (encoded(Image.fromarray(np.zeros((61, 83), np.uint16)), "PNG"), "PNG", "I;16", 1, 16, False),  # noqa: E501
        (encoded(Image.fromarray(np.zeros((61, 83), np.uint16)), "TIFF"), "TIFF", "I;16", 1, 16, False),  # noqa: E501
    ],
)  # fmt: skip
def test_headers(content, form, mode, channels, bits, transparent):
    header = read_header(content, "x")
    assert (header.format, header.mode, header.channels) == (form, mode, channels)
    assert (header.bits, header.transparent, header.size) == (bits, transparent, (61, 83))
    if mode != "I;16" or form == "PNG":
        assert decode(content, "x").pixels.shape[2] == channels


def test_every_format_is_known_by_its_first_bytes():
    found = {name: picture_format(content[:12]) for name, content in FILES.items()}
    assert {form.lower() for form in found.values()} == {
        "jpeg",
        "png",
        "webp",
        "tiff",
        "bmp",
        "gif",
    }
    assert all(found[name].lower() == name.split()[0] for name in found)
    assert describe_content(b"{json: 1}") == "text"
