"""Pictures that are there twice: copies, re-encoded and resized ones, found on decoded pixels.

A picture that is trained on and also scored makes the score too good. All pairs are compared in
two steps. First by a signature of at most 8 x 8 cells, whole blocks of pairs in one matrix
product; then the few close ones by thumbnails of at most 32 x 32: a copy is its original, a little
sharper or softer (resizing), brighter or darker, plus the noise of encoding, so the original and
its Laplacian must explain it up to that noise. How much noise is allowed depends on how much fine
detail the picture has, because that is what encoding and resizing change. The constants were
measured on photographs, clothes and handwritten digits (`benchmarks/leaks.py`): copies stay below
them, and almost all different pictures that look much alike (trousers, digits) stay above.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from vitreous.data.threads import map_in_order
from vitreous.data.thumbnails import Thumbnails, make_thumbnails, signatures
from vitreous.errors import RequestError

SIGNATURE_DISTANCE = 5.0  # grey levels, root mean square over cells: above, no pair is looked at
STEADY_SIDE = (
    16  # smaller pictures have cells of few pixels: more distance is allowed, side for side
)
NOISE = 2.5  # grey levels, root mean square: what encoding adds to a smooth picture
NOISE_OF_DETAIL = 0.12  # and, beside it, this share of the picture's detail
UNEXPLAINED = 0.03  # of the variance at most: keeps nearly empty pictures apart
COLOUR_DISTANCE = 30.0  # grey levels, root mean square over coarse cells
FLAT = 1.5  # grey levels: pictures with less deviation can only be exact copies
GAIN = 2.0  # contrast may differ by this factor at most

_PAIRS_AT_ONCE = 4096
_CROWDED = 16 * _PAIRS_AT_ONCE  # close pairs in one block: then known clusters are not looked into
_BLOCK_ROWS, _BLOCK_COLUMNS = 1024, 2048  # of float32 products: 8 MB, near the processor's cache
_CHUNK_BYTES = 16_000_000


@dataclass(frozen=True)
class Duplicate:
    """Two rows that show one picture; first < second."""

    first: int
    second: int
    similarity: float  # share of the variance of one that the other explains; 1 for exact copies
    exact: bool  # the same pixels


def find_duplicates(
    pixels: np.ndarray,
    rows: np.ndarray,
    on_progress: Callable[[int, int], None] | None = None,
    across: np.ndarray | None = None,
) -> list[Duplicate]:
    """All exact and near copies among `rows` of `pixels` uint8 (n, channels, height, width).

    Of k identical pictures k - 1 pairs are listed, each with the first of them. `across`, one
    label for every row of `pixels`, keeps only pairs whose labels differ (train and test), each
    picture with the first copy on each other side. `pixels` may be a memory map: it is read in
    pieces. Near means: encoded again, resized, a little brighter or with other contrast; not
    mirrored, cropped or recoloured. Raises `RequestError` where `across` does not fit.
    """
    if across is not None and len(across) != len(pixels):
        raise RequestError(f"across has {len(across)} labels for {len(pixels)} rows; give one each")
    rows = np.sort(np.asarray(rows, np.int64))
    report = _Progress(on_progress, 2 * len(rows))
    alike = _exact_groups(pixels, rows)
    firsts = np.array([members[0] for members in alike], np.int64)
    found = [pair for members in alike for pair in _within(members, across)]
    for one, other, similarity in _near_pairs(pixels, firsts, report):
        found += _between(alike[one], alike[other], across, similarity)
    report.finish()
    return sorted(found, key=lambda pair: (pair.first, pair.second))


def clusters(duplicates: Iterable[Duplicate]) -> list[list[int]]:
    """Sets of rows that are copies of one another, also through a third; sorted.

    >>> clusters([Duplicate(1, 4, 1.0, True), Duplicate(4, 9, 0.99, False)])
    [[1, 4, 9]]
    """
    pairs = np.array([(pair.first, pair.second) for pair in duplicates], np.int64).reshape(-1, 2)
    rows, places = np.unique(pairs, return_inverse=True)
    labels = _merged(np.arange(len(rows)), places.reshape(-1, 2))
    sets: dict[int, list[int]] = {}
    for row, label in zip(rows.tolist(), labels.tolist(), strict=True):
        sets.setdefault(label, []).append(row)
    return sorted(sets.values())


@dataclass
class _Progress:
    tell: Callable[[int, int], None] | None
    total: int
    done: float = 0

    def add(self, count: float) -> None:
        self.done = min(self.done + count, self.total)
        if self.tell is not None:
            self.tell(round(self.done), self.total)

    def finish(self) -> None:
        self.add(self.total - self.done)


def _exact_groups(pixels: np.ndarray, rows: np.ndarray) -> list[list[int]]:
    """Rows by identical pixels, in the order of their first row."""
    groups: dict[bytes, list[int]] = {}
    for chunk in _chunks(pixels, rows):
        for row, picture in zip(chunk.tolist(), pixels[chunk], strict=True):
            digest = blake2b(picture.tobytes(), digest_size=16).digest()
            groups.setdefault(digest, []).append(row)
    return list(groups.values())


def _chunks(pixels: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    size = max(1, _CHUNK_BYTES // int(np.prod(pixels.shape[1:])))
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _side(across: np.ndarray | None, row: int) -> object:
    return None if across is None else across[row]


def _first_of_each_side(members: list[int], across: np.ndarray | None) -> list[int]:
    firsts: dict[object, int] = {}
    for row in members:
        firsts.setdefault(_side(across, row), row)
    return list(firsts.values())


def _within(members: list[int], across: np.ndarray | None) -> Iterator[Duplicate]:
    """Each of some identical pictures with the first of them, or the first on each other side."""
    if across is None:
        yield from (Duplicate(members[0], row, 1.0, True) for row in members[1:])
        return
    pairs = {
        (min(row, first), max(row, first))
        for first in _first_of_each_side(members, across)
        for row in members
        if across[row] != across[first]
    }
    yield from (Duplicate(first, second, 1.0, True) for first, second in sorted(pairs))


def _between(
    one: list[int], other: list[int], across: np.ndarray | None, similarity: float
) -> Iterator[Duplicate]:
    """The pair of two near groups of identical pictures, or those on different sides."""
    if across is None:
        yield Duplicate(min(one[0], other[0]), max(one[0], other[0]), similarity, False)
        return
    pairs: set[tuple[int, int]] = set()
    for near, far in ((one, other), (other, one)):
        for first in _first_of_each_side(near, across):
            pairs |= {
                (min(first, row), max(first, row)) for row in far if across[row] != across[first]
            }
    yield from (Duplicate(first, row, similarity, False) for first, row in sorted(pairs))


def _near_pairs(
    pixels: np.ndarray, rows: np.ndarray, report: _Progress
) -> Iterator[tuple[int, int, float]]:
    """Pairs of places in `rows` that are near copies, and how similar they are."""
    if len(rows) < 2:
        return
    left, right, usable = _signature_factors(pixels, rows, report)
    cluster = np.arange(len(rows))
    small = min(STEADY_SIDE, max(pixels.shape[2:]))
    distance = SIGNATURE_DISTANCE * STEADY_SIDE / small
    for pairs in _together(_close_pairs(left, right, usable, distance, report)):
        crowded = len(pairs) > _CROWDED
        for start in range(0, len(pairs), _PAIRS_AT_ONCE):
            part = pairs[start : start + _PAIRS_AT_ONCE]
            if crowded:  # e.g. a still camera: one link to a cluster is enough
                part = part[cluster[part[:, 0]] != cluster[part[:, 1]]]
            found, similarity = _copies(pixels, rows, part)
            cluster = _merged(cluster, found) if len(found) else cluster
            yield from zip(found[:, 0].tolist(), found[:, 1].tolist(), similarity, strict=True)


def _together(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """The same pairs in fewer, larger pieces: looking at a few pairs costs as much as at many."""
    waiting: list[np.ndarray] = []
    for pairs in blocks:
        waiting.append(pairs)
        if sum(map(len, waiting)) >= _PAIRS_AT_ONCE:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def _merged(labels: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Cluster labels after joining the clusters of each pair of places."""
    first, second = labels[pairs[:, 0]], labels[pairs[:, 1]]
    n = len(labels)
    links = coo_array((np.ones(len(pairs), bool), (first, second)), shape=(n, n))
    return connected_components(links, directed=False)[1][labels]


def _signature_factors(
    pixels: np.ndarray, rows: np.ndarray, report: _Progress
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Factors whose product is minus half the squared distance of two signatures, and not-flat.

    The distance is the one after giving both the same contrast: |a||b| - ab, which becomes one
    product of vectors by adding the length to each.
    """
    parts = []
    for chunk in _chunks(pixels, rows):
        parts.append(signatures(make_thumbnails(pixels[chunk]).light))
        report.add(len(chunk))
    cells = torch.cat(parts)
    length = cells.norm(dim=1, keepdim=True)
    left, right = torch.cat([cells, length], dim=1), torch.cat([cells, -length], dim=1)
    return left.numpy(), right.numpy(), (length[:, 0] >= FLAT).numpy()


def _close_pairs(
    left: np.ndarray, right: np.ndarray, usable: np.ndarray, distance: float, report: _Progress
) -> Iterator[np.ndarray]:
    """Pairs of places (m, 2), first < second, with close signatures; block by block.

    Blocks are shared among threads that multiply alone: threads inside one product would wait for
    each other, which costs more than it brings where the cores have other work too.
    """
    places = np.flatnonzero(usable)
    left, right = left[places], np.ascontiguousarray(right[places].T)
    least = np.float32(-(distance**2) / 2)

    def compare(corner: tuple[int, int]) -> np.ndarray:
        top, start = corner
        product = left[top : top + _BLOCK_ROWS] @ right[:, start : start + _BLOCK_COLUMNS]
        if product.max() < least:
            return np.empty((0, 2), np.int64)
        pairs = np.argwhere(product >= least) + np.array(corner)
        return places[pairs[pairs[:, 0] < pairs[:, 1]]]

    n = len(places)
    corners = [(top, start) for top in range(0, n, _BLOCK_ROWS)
               for start in range(top, n, _BLOCK_COLUMNS)]  # fmt: skip
    with threadpool_limits(1, "blas"):
        for pairs in map_in_order(compare, corners, os.cpu_count() or 1):
            report.add(len(usable) / len(corners))
            if len(pairs):
                yield pairs


def _copies(
    pixels: np.ndarray, rows: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, list[float]]:
    """Those of some pairs of places that are copies, and how similar each is."""
    if not len(pairs):
        return pairs, []
    needed, places = np.unique(pairs, return_inverse=True)
    first, second = torch.from_numpy(places.reshape(-1, 2).T)
    thumbnails = _thumbnails_of(pixels, rows[needed])
    light, colour = thumbnails.light, thumbnails.colour
    noise, unexplained = _difference(light[first], light[second])
    detail = (thumbnails.detail[first] + thumbnails.detail[second]) / 2
    allowed = (NOISE**2 + (NOISE_OF_DETAIL * detail) ** 2).sqrt()
    is_copy = (noise <= allowed) & (unexplained <= UNEXPLAINED)
    if colour.shape[1]:
        distance = (colour[first] - colour[second]).square().mean(dim=1).sqrt()
        is_copy &= distance <= COLOUR_DISTANCE
    kept = is_copy.numpy()
    return pairs[kept], (1 - unexplained[is_copy]).clamp(0, 1).tolist()


def _thumbnails_of(pixels: np.ndarray, rows: np.ndarray) -> Thumbnails:
    parts = [make_thumbnails(pixels[chunk]) for chunk in _chunks(pixels, rows)]
    return Thumbnails(
        torch.cat([part.light for part in parts]),
        torch.cat([part.detail for part in parts]),
        torch.cat([part.colour for part in parts]),
    )


def _difference(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What neither picture can explain of the other: root mean square, and share of variance.

    Of the two directions (the softer one is explained by the sharper) the better one counts.
    """
    there, back = _unexplained(first, second), _unexplained(second, first)
    better = there[0] <= back[0]
    return torch.where(better, there[0], back[0]), torch.where(better, there[1], back[1])


def _unexplained(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Least squares: target = offset + gain * source + sharpness * Laplacian(source) + rest.

    Shapes (m, height, width). The rest as root mean square and as a share of the target's variance,
    both infinite where the gain is none that a copy has.
    """
    a, b = _centred(source), _centred(target)
    edges = _centred(_laplacian(source))
    aa, ee, ae = (a * a).sum(1).double(), (edges * edges).sum(1).double(), (a * edges).sum(1)
    ab, eb, bb = (a * b).sum(1).double(), (edges * b).sum(1).double(), (b * b).sum(1).double()
    ae = ae.double()
    ee = ee + 1e-6 * aa  # keeps the two equations apart where there are no edges
    determinant = (aa * ee - ae * ae).clamp_min(1e-12)
    gain = (ab * ee - eb * ae) / determinant
    sharpness = (eb * aa - ab * ae) / determinant
    rest = (bb - gain * ab - sharpness * eb).clamp_min(0)
    bad = (gain < 1 / GAIN) | (gain > GAIN)
    infinite = torch.full_like(rest, torch.inf)
    share = torch.where(bad, infinite, rest / bb.clamp_min(1e-12))
    return torch.where(bad, infinite, (rest / a.shape[1]).sqrt()), share


def _centred(planes: torch.Tensor) -> torch.Tensor:
    flat = planes.flatten(1)
    return flat - flat.mean(dim=1, keepdim=True)


def _laplacian(planes: torch.Tensor) -> torch.Tensor:
    padded = F.pad(planes[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    sides = padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2] + padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1]
    return sides - 4 * planes
