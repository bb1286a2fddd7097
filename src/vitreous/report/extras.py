"""What only the process that trained or evaluated can show: pixels, kernels and maps."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from vitreous.insight.eeg_listening import Listening
    from vitreous.insight.filters import Filters
    from vitreous.insight.maps import LayerMaps
    from vitreous.report.scan_shown import ScanShown
    from vitreous.report.walk import WalkShown

LONGEST_SIDE = 160  # pixels; a report with 60 pictures stays well under 3 MB
_LOSSLESS_BYTES = 12_000  # below this a picture stays as exact as PNG is


@dataclass(frozen=True)
class PictureMaps:
    """A picture, as PNG or JPEG bytes, and what a few layers make of it."""

    sample_id: str
    picture: bytes
    layers: Sequence["LayerMaps"]


@dataclass(frozen=True)
class Drawn:
    """A picture of the test part beside its truth and the answer; all three PNG or JPEG bytes."""

    sample_id: str
    kind: str  # worst or best
    words: str
    more_words: str
    picture: bytes
    truth: bytes
    answer: bytes
    scan: "ScanShown | None" = None  # of a scan, to be looked through


@dataclass(frozen=True)
class Extras:
    """Everything in a report that does not lie in the run folder. All of it may be left out."""

    pictures: Mapping[str, bytes] = field(default_factory=dict)  # sample_id -> PNG or JPEG file
    filters: "Filters | None" = None  # the first convolution's kernels
    feature_maps: Sequence[PictureMaps] = ()
    network_table: Sequence[Mapping[str, Any]] = ()  # rows of networks.graph.network_table
    listening: "Listening | None" = None  # what a decoder of EEG listens to
    drawn: Sequence[Drawn] = ()  # of tasks that answer what is where
    walk: "WalkShown | None" = None  # the network's numbers for a few samples
    walk_missing: str = ""  # why there is no walk, where somebody would miss it


def picture_bytes(pixels: np.ndarray) -> bytes:
    """A picture for `Extras.pictures`: uint8 (channels, height, width), 1 or 3 channels, as PNG.

    Rows of the pixel cache can be passed as they are.
    """
    rows = np.moveaxis(pixels, 0, -1)
    image = Image.fromarray(rows[..., 0] if rows.shape[-1] == 1 else np.ascontiguousarray(rows))
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def small_picture(content: bytes, longest_side: int = LONGEST_SIDE) -> tuple[bytes, str]:
    """The picture no larger than `longest_side`, and its media type.

    Small flat pictures stay exact (PNG); photographs become WebP, which is a tenth of the size.
    """
    image = Image.open(io.BytesIO(content))
    image = image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")
    image.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    exact = _encoded(image, "PNG", {"optimize": True})
    if len(exact) <= _LOSSLESS_BYTES:
        return exact, "image/png"
    small = _encoded(image, "WEBP", {"quality": 82})
    return (small, "image/webp") if len(small) < len(exact) else (exact, "image/png")


def _encoded(image: Image.Image, file_format: str, options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=file_format, **options)
    return buffer.getvalue()
