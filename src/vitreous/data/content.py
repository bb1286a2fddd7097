"""What a file holds, by its first bytes; its name may say anything."""

_FOREIGN = (
    (b"ftypheic", 4, "an HEIC picture; convert it to JPEG or PNG"),
    (b"ftypheix", 4, "an HEIC picture; convert it to JPEG or PNG"),
    (b"ftypmif1", 4, "an HEIF picture; convert it to JPEG or PNG"),
    (b"ftypavif", 4, "an AVIF picture; convert it to JPEG or PNG"),
    (b"DICM", 128, "a DICOM file"),
    (b"%PDF", 0, "a PDF document"),
    (b"PK\x03\x04", 0, "a ZIP archive; unpack it first"),
    (b"\x1f\x8b", 0, "a gzip archive; unpack it first"),
    (b"\x89HDF", 0, "an HDF5 file"),
    (b"PAR1", 0, "a Parquet file"),
    (b"\x93NUMPY", 0, "a NumPy array"),
    (b"8BPS", 0, "a Photoshop picture; convert it to JPEG or PNG"),
    (b"version https://git-lfs", 0, "a Git LFS pointer; fetch the file itself with `git lfs pull`"),
    (b"<svg", 0, "an SVG drawing; convert it to PNG"),
)

_RECORDINGS = (  # the first bytes, the format, its suffix
    (b"0       ", "EDF", ".edf"),
    (b"\xffBIOSEMI", "BDF", ".bdf"),
    (b"GDF ", "GDF", ".gdf"),
    (b"Brain Vision", "BrainVision", ".vhdr"),
    (b"BrainVision", "BrainVision", ".vhdr"),
    (b"\0\0\0\x64\0\0\0\x1f", "FIF", ".fif"),
)


def recording_format(content: bytes) -> str | None:
    """The format of recordings that the first bytes show (15 are enough), or None for any other.

    >>> recording_format(b"0       X X X")
    'EDF'
    """
    start = content.removeprefix(b"\xef\xbb\xbf")
    return next((name for mark, name, _ in _RECORDINGS if start.startswith(mark)), None)


def picture_format(content: bytes) -> str | None:
    """The format that the first bytes show (12 are enough), or None where it is no picture.

    >>> picture_format(b"GIF89a......")
    'GIF'
    """
    if content.startswith(b"\xff\xd8"):
        return "JPEG"
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WebP"
    if content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if content[:2] == b"BM" and content[6:10] == bytes(4):
        return "BMP"
    return "GIF" if content[:6] in (b"GIF87a", b"GIF89a") else None


def describe_content(content: bytes) -> str:
    """In words, what bytes that are no readable picture seem to be."""
    for signature, place, words in _FOREIGN:
        if content[place:].startswith(signature):
            return words
    if found := recording_format(content):
        suffix = next(suffix for _, name, suffix in _RECORDINGS if name == found)
        return f"a recording in {found}; name it {suffix}"
    start = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "a web page (perhaps an error page that was saved instead of the picture)"
    if not any(content[:4096]):
        return "zeros only (an unfinished copy or download)"
    if b"\0" not in content[:512] and start.decode("utf-8", "ignore").isprintable():
        return "text"
    if all(byte in b"\t\r\n" or byte >= 32 for byte in start):
        return "text"
    return f"unknown content, starting with the bytes {content[:8].hex(' ')}"
