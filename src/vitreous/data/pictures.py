"""From a file's bytes to upright 8-bit pixels, or to one line that says why not.

The content decides what a file is, never its name. Ordinary JPEG goes through simplejpeg, which
can make a large picture smaller while it decodes; all else goes through Pillow. Colour profiles
are not applied, only the first page or frame of several is read.

Pillow's global switches (`MAX_IMAGE_PIXELS`, `LOAD_TRUNCATED_IMAGES`) are neither used nor
changed, so that decoding is safe in threads and beside other users of Pillow: the formats' own
classes are called, and the size is checked here, from the header, before a pixel is decoded.
"""

import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import simplejpeg
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from vitreous.data.content import describe_content, picture_format
from vitreous.data.samples import Picture
from vitreous.errors import DataError

MAX_PIXELS = 178_000_000
"""Larger pictures are not decoded: a small file can unpack to more than the memory holds."""

ORIENTATION_TAG = 0x0112  # EXIF 2.32, section 4.6.4: tag 274
TURNED = (5, 6, 7, 8)  # orientations that exchange height and width

OPENERS = {
    "JPEG": JpegImageFile,
    "PNG": PngImageFile,
    "WebP": WebPImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}

# libjpeg's warnings about pixels that are lost, and those about a sloppy but whole file
_JPEG_DAMAGE = ("Corrupt JPEG data", "Inconsistent progression", "Premature end")
_CUT_OFF = (  # what decoders say of a file that ends too early
    "truncated", "premature end of jpeg", "unexpected end", "end of file", "not enough data",
)  # fmt: skip
_JPEG_SLOPPY = ("Invalid SOS parameters", "Warning: unknown JFIF", "Unknown Adobe color transform")


@dataclass(frozen=True)
class Header:
    """What a picture file says about itself before anything is decoded."""

    format: str  # JPEG, PNG, WebP, TIFF, BMP or GIF
    size: tuple[int, int]  # height, width, upright
    mode: str  # Pillow's name of the stored form: L, RGB, P, CMYK, I;16 ...
    channels: int  # of the decoded picture: 1 or 3
    bits: int  # a channel
    transparent: bool


def decode(
    content: bytes, name: str, minimum_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """The picture in a file's bytes: uint8 (height, width, 1 or 3 channels), upright.

    16-bit grey is brought to 8 bits by its whole range (65535 becomes 255), never by the values
    that happen to occur, so that pictures stay comparable; a 16-bit colour PNG keeps its upper
    8 bits. Transparent pixels are laid on white. Palettes and CMYK become red, green, blue.
    32-bit and floating-point pixels have no range to go by and are refused.

    With `minimum_side` a JPEG may come out smaller (in steps of an eighth) as long as its shorter
    side keeps that many pixels. `name` is the path that messages show. Thread-safe.

    Raises `DataError`: empty, no picture, truncated, damaged, or more than `max_pixels` pixels.
    """
    if not content:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    kind = picture_format(content)
    if kind is None:
        raise DataError(f"{name}: not a picture: {describe_content(content)}")
    try:
        if kind == "JPEG":
            return _decode_jpeg(content, name, minimum_side, max_pixels)
        return _decode_with_pillow(kind, content, name, max_pixels)
    except DataError:
        raise
    except Exception as error:  # broken files make decoders raise anything, AttributeError included
        raise DataError(f"{name}: {_damage(kind, str(error), content)}") from None


def read_picture(
    path: Path, name: str, minimum_side: int | None = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """`decode` for a file. Raises `DataError` where it cannot be opened, too."""
    return decode(read_file(path, name), name, minimum_side, max_pixels)


def read_file(path: Path, name: str) -> bytes:
    """A regular file's bytes. Raises `DataError` (not found, a folder, not permitted, a pipe)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise DataError(f"{name}: {kind}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{name}: {why_unreadable(error)}") from None


def read_header(source: Path | bytes, name: str) -> Header:
    """Format, size and stored form, without decoding. Raises `DataError` as `decode` does."""
    if isinstance(source, Path) and not source.is_file():
        read_file(source, name)  # raises, with the reason
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            return _header_of(file, name)
    except DataError:
        raise
    except OSError as error:
        reason = why_unreadable(error) if error.errno else _damage("picture", str(error))
        raise DataError(f"{name}: {reason}") from None
    except Exception as error:  # as in `decode`
        raise DataError(f"{name}: {_damage('picture', str(error))}") from None


def upright_picture(image: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> Picture:
    """A picture that Pillow has opened, by the rules of `decode`."""
    check_pixels(image.size[::-1], name, max_pixels)
    _check_range(image, name)
    image.load()
    pixels = upright(_to_pixels(image), _orientation(image))
    height, width, _ = pixels.shape
    return Picture(pixels, (height, width))


def reason_of(error: DataError, name: str) -> str:
    """The message without the path in front, for a list that has the path in its own column."""
    return str(error).removeprefix(f"{name}: ")


def why_unreadable(error: OSError) -> str:
    """An operating system's refusal in the words used for skipped files."""
    if isinstance(error, FileNotFoundError):
        return "not found"
    if isinstance(error, PermissionError):
        return "not readable: permission denied"
    return f"not readable: {os.strerror(error.errno) if error.errno else error}"


def upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (height, width, ...) turned and mirrored as the EXIF orientation 1 to 8 asks."""
    if orientation in TURNED:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def grey_to_8_bits(pixels: np.ndarray, maximum: int = 65535) -> np.ndarray:
    """Whole numbers 0..maximum as uint8 0..255, rounded to the nearest.

    >>> grey_to_8_bits(np.array([0, 128, 129, 65535], dtype=np.uint16)).tolist()
    [0, 0, 1, 255]
    """
    scaled = pixels.astype(np.uint32) * 510 + maximum
    return np.minimum(scaled // (2 * maximum), 255).astype(np.uint8)


def _decode_jpeg(content: bytes, name: str, minimum_side: int | None, max_pixels: int) -> Picture:
    try:
        header: Any = simplejpeg.decode_jpeg_header(content, strict=False)
        height, width, colours, _ = header
    except ValueError:  # 12-bit, lossless and the like; Pillow knows, or has the reason
        return _decode_with_pillow("JPEG", content, name, max_pixels)
    check_pixels((height, width), name, max_pixels)
    form = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(colours, "RGB")
    pixels = _jpeg_pixels(content, name, form, minimum_side or 0)
    if pixels is None:
        return _decode_with_pillow("JPEG", content, name, max_pixels)
    if form == "CMYK":
        pixels = _cmyk_to_rgb(pixels)
    orientation = _jpeg_orientation(content)
    size = (width, height) if orientation in TURNED else (height, width)
    return Picture(upright(pixels, orientation), size)


def _jpeg_pixels(content: bytes, name: str, form: str, side: int) -> np.ndarray | None:
    """Decoded by libjpeg-turbo, which warns where it fills up lost pixels: no warning is let pass.

    None where it cannot decode this kind of JPEG at all.
    """
    # without a wanted size the whole picture, else the decoder takes "any" as 1/8
    sizes = {"min_height": side, "min_width": side} if side else {}
    try:
        return simplejpeg.decode_jpeg(content, form, strict=True, **sizes)
    except ValueError as error:
        message = str(error)
    if message.startswith(_JPEG_DAMAGE):
        raise DataError(f"{name}: {_damage('JPEG', message, content)}")
    if message.startswith(_JPEG_SLOPPY):
        return simplejpeg.decode_jpeg(content, form, strict=False, **sizes)
    return None


def _cmyk_to_rgb(pixels: np.ndarray) -> np.ndarray:
    """CMYK as JPEG files hold it: inverted, a custom of Adobe's that everybody follows."""
    height, width, _ = pixels.shape
    inks = Image.frombuffer("CMYK", (width, height), np.ascontiguousarray(255 - pixels))
    return np.asarray(inks.convert("RGB"))


def _jpeg_orientation(content: bytes) -> int:
    start = content[: 1 << 17]
    if b"Exif\0\0" not in start and b"tiff:Orientation" not in start:
        return 1  # the common case; opening with Pillow would cost a tenth of the decoding
    try:
        return _orientation(JpegImageFile(io.BytesIO(content)))
    except Exception:  # broken metadata of a sound picture
        return 1


def _orientation(image: Image.Image) -> int:
    """1 to 8; 1 (upright) also where the EXIF data is broken: the pixels may be sound."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # broken EXIF data makes the parser raise anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decode_with_pillow(kind: str, content: bytes, name: str, max_pixels: int) -> Picture:
    if kind == "WebP":  # its decoder makes room for the whole canvas when it opens the file
        check_pixels(_webp_size(content), name, max_pixels)
    if kind == "PNG" and b"IEND" not in content:
        raise DataError(f"{name}: {_damage('PNG', 'truncated')}")
    with OPENERS[kind](io.BytesIO(content)) as image:
        return upright_picture(image, name, max_pixels)


def check_pixels(size: tuple[int, ...], name: str, max_pixels: int) -> None:
    """Raises `DataError` where (height, width) are nothing, or more pixels than are decoded."""
    height, width = size
    if height < 1 or width < 1:
        raise DataError(f"{name}: damaged: its header says {height} x {width} pixels")
    if height * width > max_pixels:
        raise DataError(
            f"{name}: {height} x {width} = {height * width:,} pixels, more than {max_pixels:,}: "
            "not decoded; if you trust the file, raise the limit with --max-pixels"
        )


def _check_range(image: Image.Image, name: str) -> None:
    if image.mode not in ("I", "F"):
        return
    kind = "floating-point" if image.mode == "F" else "32-bit or signed"
    raise DataError(
        f"{name}: {kind} pixels, whose range is not known; save it as 8 or 16 bits first"
    )


def _to_pixels(image: Image.Image) -> np.ndarray:
    """A loaded picture as uint8 (height, width, 1 or 3)."""
    if image.mode.startswith("I;16"):
        return _sixteen_bits(image)[..., None]
    form = "L" if image.mode in ("1", "L", "LA", "La") else "RGB"
    if image.has_transparency_data:
        with_alpha = image.convert("LA" if form == "L" else "RGBA")
        flat = Image.new(form, image.size, "white")
        flat.paste(with_alpha.convert(form), mask=with_alpha.getchannel("A"))
    else:
        flat = image.convert(form)
    pixels = np.asarray(flat)
    return pixels[..., None] if form == "L" else pixels


def _sixteen_bits(image: Image.Image) -> np.ndarray:
    tags = image.tag_v2 if isinstance(image, TiffImageFile) else {}
    (bits,) = tags.get(258, (16,))  # BitsPerSample: microscopes write 12 bits, too
    pixels = grey_to_8_bits(np.asarray(image), maximum=2**bits - 1)
    return 255 - pixels if tags.get(262) == 0 else pixels  # PhotometricInterpretation: 0 is white


def _webp_size(content: bytes) -> tuple[int, int]:
    """Height and width from the header (RFC 9649: VP8X, VP8L or VP8 chunk)."""
    chunk, body = content[12:16], content[20:30]
    if chunk == b"VP8X":
        width, height = (int.from_bytes(body[place : place + 3], "little") + 1 for place in (4, 7))
    elif chunk == b"VP8L":
        packed = int.from_bytes(body[1:5], "little")
        width, height = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    else:
        width, height = (
            int.from_bytes(body[place : place + 2], "little") & 0x3FFF for place in (6, 8)
        )
    return height, width


def _header_of(file: IO[bytes], name: str) -> Header:
    start = file.read(512)
    if not start:
        raise DataError(f"{name}: the file is empty (0 bytes)")
    kind = picture_format(start)
    if kind is None:
        raise DataError(f"{name}: not a picture: {describe_content(start)}")
    if kind == "WebP":
        check_pixels(_webp_size(start), name, MAX_PIXELS)
    file.seek(0)
    image = OPENERS[kind](file)
    height, width = image.size[::-1]
    if kind != "TIFF" and _orientation(image) in TURNED:  # Pillow turns TIFF's size itself
        height, width = width, height
    grey = image.mode in ("1", "L", "LA", "La", "I", "F") or image.mode.startswith("I;16")
    return Header(
        format=kind,
        size=(height, width),
        mode=image.mode,
        channels=1 if grey else 3,
        bits=_bits(image),
        transparent=image.has_transparency_data,
    )


def _bits(image: Image.Image) -> int:
    if isinstance(image, TiffImageFile):
        return max(image.tag_v2.get(258, (1,)))
    if isinstance(image, PngImageFile) and image.tile and "16" in str(image.tile[0][3]):
        return 16
    return {"1": 1, "I;16": 16, "I": 32, "F": 32}.get(image.mode, 8)


def _damage(kind: str, message: str, content: bytes = b"") -> str:
    """A decoder's complaint in one line, with what to do."""
    text = " ".join(message.split()) or "the decoder gives no reason"
    if any(words in text.lower() for words in _CUT_OFF) or (
        content and _lacks_its_end(kind, content)
    ):
        return f"truncated {kind}: the file ends too early; copy or download it again"
    return f"damaged {kind}: {text}"


def _lacks_its_end(kind: str, content: bytes) -> bool:
    """Whether a file that could not be decoded was cut off, by what its format ends with."""
    match kind:
        case "JPEG":
            return b"\xff\xd9" not in content[-4096:]
        case "GIF":
            return b"\x3b" not in content[-1:]
        case "WebP":  # the length of what follows stands in front
            return len(content) < 8 + int.from_bytes(content[4:8], "little")
        case "TIFF":  # the directory often lies behind the pixels
            order = "little" if content[:2] == b"II" else "big"
            return len(content) < 12 + int.from_bytes(content[4:8], order)
    return False
