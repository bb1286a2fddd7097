"""Maps and kernels as bytes: a short header in JSON, then the numbers.

uint8 is for looking at (a quarter of the size, and sizes on a screen are no finer), float32 for
what is read as a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vitreous.insight.colours import symmetric_limit
from vitreous.server.schemas import Block, PackHeader

ALIGNMENT = 4  # bytes: a float32 array starts at a multiple of its size
ZERO, LARGEST = 128, 127


@dataclass
class Pack:
    """Blocks put one behind the other."""

    activity: list[float] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    def add_signed(
        self, name: str, values: np.ndarray, channels: Sequence[int] = (), limit: float = 0.0
    ) -> None:
        """Values to look at: bytes around 128, on a scale from -limit to limit.

        Without `limit` the scale is that of the largest value.
        """
        limit = limit or symmetric_limit(values)
        self._add(name, "signed", signed_bytes(values, limit), values.shape, limit, channels)

    def add_colour(self, name: str, pixels: np.ndarray, limit: float) -> None:
        """Uint8 (..., 3) red, green, blue; `limit` is what 0 and 255 stand for."""
        self._add(name, "colour", pixels, pixels.shape, limit, ())

    def add_numbers(self, name: str, values: np.ndarray, channels: Sequence[int] = ()) -> None:
        """Values to read, exactly as the network has them."""
        numbers = np.ascontiguousarray(values, dtype="<f4")
        self._add(name, "numbers", numbers, values.shape, symmetric_limit(values), channels)

    def _add(self, name, kind, array: np.ndarray, shape, limit: float, channels) -> None:
        content = np.ascontiguousarray(array).tobytes()
        self.blocks.append(
            Block(
                name=name,
                kind=kind,
                shape=[int(size) for size in shape],
                offset=sum(map(len, self.parts)),
                limit=limit,
                channels=[int(channel) for channel in channels],
            )
        )
        self.parts.append(content + bytes(-len(content) % ALIGNMENT))

    def to_bytes(self) -> bytes:
        """Length of the header (uint32, little-endian), the header, the blocks."""
        header = PackHeader(blocks=self.blocks, activity=self.activity).model_dump_json().encode()
        header += b" " * (-len(header) % ALIGNMENT)
        return b"".join([len(header).to_bytes(4, "little"), header, *self.parts])


def signed_bytes(values: np.ndarray, limit: float) -> np.ndarray:
    """Uint8 of the same shape: 128 for zero and for what is no number, 1 and 255 for the ends.

    >>> signed_bytes(np.array([-2.0, 0.0, 1.0, np.nan]), limit=2.0).tolist()
    [1, 128, 192, 128]
    """
    if limit <= 0:
        return np.full(np.shape(values), ZERO, dtype=np.uint8)
    shares = np.nan_to_num(np.asarray(values, dtype=np.float64) / limit, posinf=1.0, neginf=-1.0)
    return (ZERO + np.rint(LARGEST * np.clip(shares, -1.0, 1.0))).astype(np.uint8)
