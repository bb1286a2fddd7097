"""Units that are never divided, and a fair way to hand them out to parts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.samples import Sample

ALL = ""  # the stratum that counts every picture, beside those of its classes
NUMBER_RANGES = 5


@dataclass(frozen=True)
class Unit:
    """Rows that stay together, and how many of each stratum they hold."""

    rows: tuple[int, ...]
    strata: dict[str, int]  # stratum -> pictures; `ALL` -> all of them
    order: bytes  # random, but the same for a seed and the same sample ids


def make_units(
    samples: Sequence[Sample],
    rows: np.ndarray,
    seed: int,
    together: Sequence[Sequence[int]],
    stratify: bool,
) -> list[Unit]:
    """Join rows of one group, and of one set in `together`, into units; large ones first.

    The order, random within units of about one size, depends on the seed and the ids alone.
    """
    strata = _strata(samples, rows) if stratify else {int(row): () for row in rows}
    members = _joined(samples, rows, together)
    units = [_unit(samples, unit_rows, strata, seed) for unit_rows in members]
    return sorted(units, key=lambda unit: (-len(unit.rows).bit_length(), unit.order))


def _unit(
    samples: Sequence[Sample], rows: list[int], strata: dict[int, tuple[str, ...]], seed: int
) -> Unit:
    counts = Counter(stratum for row in rows for stratum in strata[row])
    counts[ALL] = len(rows)
    order = min(_hash(seed, samples[row].sample_id) for row in rows)
    return Unit(tuple(rows), dict(counts), order)


def _hash(seed: int, sample_id: str) -> bytes:
    text = f"{seed}\0{sample_id}".encode(errors="surrogateescape")
    return blake2b(text, digest_size=8).digest()


def _joined(
    samples: Sequence[Sample], rows: np.ndarray, together: Sequence[Sequence[int]]
) -> list[list[int]]:
    """The rows of each unit: connected through a common group or a common set (union-find)."""
    parent = {int(row): int(row) for row in rows}

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    first_of_group: dict[str, int] = {}
    for row in parent:
        group = samples[row].group
        if group is not None:
            parent[root(row)] = root(first_of_group.setdefault(group, row))
    for members in together:
        present = [row for row in members if row in parent]
        for row in present[1:]:
            parent[root(row)] = root(present[0])
    units: dict[int, list[int]] = {}
    for row in parent:
        units.setdefault(root(row), []).append(row)
    return list(units.values())


def _strata(samples: Sequence[Sample], rows: np.ndarray) -> dict[int, tuple[str, ...]]:
    """What to spread evenly: the class, each of several classes, or the range of a number."""
    numbers = [float(label) for row in rows if isinstance(label := samples[row].label, float | int)]
    edges = np.quantile(numbers, np.arange(1, NUMBER_RANGES) / NUMBER_RANGES) if numbers else []
    return {int(row): _strata_of(samples[row], np.asarray(edges)) for row in rows}


def _strata_of(sample: Sample, edges: np.ndarray) -> tuple[str, ...]:
    label = sample.label
    if label is None:
        return ()
    if isinstance(label, str):
        return (f"class {label}",)
    if isinstance(label, tuple):
        return tuple(f"class {name}" for name in label)
    if isinstance(label, Boxes):
        return tuple(f"class {place}" for place in np.unique(label.classes))
    if isinstance(label, MaskLabel):
        return tuple(f"class {place}" for place in label.present)
    return (f"range {int(np.searchsorted(edges, float(label)))}",)


def assign_units(units: Sequence[Unit], fractions: Sequence[float]) -> list[int]:
    """The part of each unit, so that parts come close to `fractions` in every stratum.

    Each unit goes where it lessens the squared distance to the wanted counts most, each stratum's
    distance in units of what is wanted. Then every part that lacks a stratum gets a unit of it
    from a part that can spare one.
    """
    totals = Counter[str]()
    for unit in units:
        totals.update(unit.strata)
    wanted = [{name: share * count for name, count in totals.items()} for share in fractions]
    missing = [dict(part) for part in wanted]
    parts = [_best_part(unit, wanted, missing) for unit in units]
    _give_each_part_each_stratum(units, parts, len(fractions))
    _fill_empty_parts(units, parts, len(fractions))
    return parts


def _best_part(
    unit: Unit, wanted: Sequence[dict[str, float]], missing: Sequence[dict[str, float]]
) -> int:
    def gain(part: int) -> float:
        return sum(
            count * (2 * missing[part][name] - count) / wanted[part][name]
            for name, count in unit.strata.items()
        )

    best = max(range(len(wanted)), key=gain)
    for name, count in unit.strata.items():
        missing[best][name] -= count
    return best


def _fill_empty_parts(units: Sequence[Unit], parts: list[int], k: int) -> None:
    """Give a part without any unit the smallest one of the part that has most; changes `parts`.

    Few units, each the only one of its stratum, can all have gone to one part.
    """
    for part in range(k):
        held = Counter(parts)
        if held[part] or not units:
            continue
        donor = max(range(k), key=lambda one: held[one])
        if held[donor] > 1:
            of_donor = [index for index, one in enumerate(parts) if one == donor]
            moved = min(of_donor, key=lambda index: (len(units[index].rows), units[index].order))
            parts[moved] = part


def _give_each_part_each_stratum(units: Sequence[Unit], parts: list[int], k: int) -> None:
    """Move single units until no part lacks a stratum that another can spare; changes `parts`."""
    holders: dict[tuple[int, str], set[int]] = {}
    strata = sorted({name for unit in units for name in unit.strata})
    for index, unit in enumerate(units):
        for name in unit.strata:
            holders.setdefault((parts[index], name), set()).add(index)
    for name in strata:
        for part in range(k):
            if holders.get((part, name)):
                continue
            spare = [
                index
                for donor in range(k)
                for index in holders.get((donor, name), ())
                if all(len(holders[donor, other]) > 1 for other in units[index].strata)
            ]
            if not spare:
                continue
            moved = min(spare, key=lambda index: (len(units[index].rows), units[index].order))
            for other in units[moved].strata:
                holders[parts[moved], other].discard(moved)
                holders.setdefault((part, other), set()).add(moved)
            parts[moved] = part
