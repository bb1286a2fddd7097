"""Which sample is trained on, chosen by, and scored: the split, honest about groups.

Samples of one group (patient, slide, subject), and pictures that are copies of one another, are
one *unit*: a unit is never divided between parts.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from vitreous.data.samples import SPLITS, Sample, Split
from vitreous.data.units import Unit, assign_units, make_units
from vitreous.errors import DataError

FRACTIONS = {"train": 0.70, "val": 0.15, "test": 0.15}
VAL_OF_TRAIN = 0.15  # where the data gives train and test only
_FAR_FROM_WANTED = 0.5  # a part this share smaller or larger than wanted is worth a warning


@dataclass(frozen=True)
class SplitPlan:
    """Where every sample goes; None for those that cannot be used."""

    split: tuple[Split | None, ...]
    how: str  # one sentence for people
    warnings: tuple[str, ...] = ()


def plan_splits(
    samples: Sequence[Sample],
    *,
    seed: int,
    usable: np.ndarray | None = None,
    together: Iterable[Sequence[int]] = (),
    stratify: bool = True,
) -> SplitPlan:
    """Divide samples into train, val and test.

    A split given by the data is kept; where it has no part to choose by (train and test only; a
    lone val counts as the test part), that is carved out of train. Where none is given: 70/15/15.
    What we divide ourselves is divided by group and by `together` (sets of rows to keep on one
    side: copies), stratified by class, or by fifths of a number, and depends on the seed and the
    sample ids alone, not on their order. `usable` is bool (n,); other rows get no part.
    Raises `DataError` where a class has too few groups, or the given parts cannot be used.
    """
    rows = np.arange(len(samples)) if usable is None else np.flatnonzero(usable)
    if not len(rows):
        raise DataError("no sample can be used; `vitreous inspect` says why")
    given = _given_split(samples, rows)
    sets = [list(members) for members in together]
    if set(given.values()) <= {"train"}:  # nothing given, or all of it called train
        return _divide_all(samples, rows, seed, sets, stratify)
    _require_known_classes(samples, given)
    if "val" in given.values():
        plan = _as_plan(samples, given, "kept as the data gives it: train, val, test")
    else:
        plan = _carve_val(samples, given, seed, sets, stratify)
    return SplitPlan(plan.split, plan.how, (*plan.warnings, *_crossing_groups(samples, plan)))


def folds(
    samples: Sequence[Sample],
    k: int,
    *,
    seed: int,
    usable: np.ndarray | None = None,
    together: Iterable[Sequence[int]] = (),
    stratify: bool = True,
) -> np.ndarray:
    """The fold, 0 to k - 1, of every sample, int64 (n,); -1 where it cannot be used.

    By group, by `together` and stratified, as `plan_splits` does.
    Raises `DataError` where a class has fewer than k groups.
    """
    rows = np.arange(len(samples)) if usable is None else np.flatnonzero(usable)
    units = make_units(samples, rows, seed, [list(members) for members in together], stratify)
    names = tuple(f"fold {fold}" for fold in range(k))
    _require_enough_units(samples, units, names)
    found = np.full(len(samples), -1, np.int64)
    for unit, part in zip(units, assign_units(units, [1 / k] * k), strict=True):
        found[list(unit.rows)] = part
    return found


def _given_split(samples: Sequence[Sample], rows: np.ndarray) -> dict[int, Split]:
    """The given part of each usable row, empty where the data gives none."""
    given: dict[int, Split] = {}
    for row in map(int, rows):
        split = samples[row].split
        if split is not None:
            given[row] = split
    if not given:
        return given
    if len(given) < len(rows):
        missing = [int(row) for row in rows if int(row) not in given]
        raise DataError(
            f"{samples[missing[0]].path}: has no split, like {len(missing)} of {len(rows)} samples "
            f"while others have one; give all of them one, or none"
        )
    if "train" not in given.values():
        found = ", ".join(sorted(set(given.values())))
        raise DataError(f"the data gives a split ({found}) without a train part; add one")
    if "test" not in given.values() and "val" in given.values():
        return {row: "test" if split == "val" else split for row, split in given.items()}
    return given


def _divide_all(
    samples: Sequence[Sample],
    rows: np.ndarray,
    seed: int,
    together: list[list[int]],
    stratify: bool,
) -> SplitPlan:
    units = make_units(samples, rows, seed, together, stratify)
    _require_enough_units(samples, units, SPLITS)
    parts = assign_units(units, [FRACTIONS[name] for name in SPLITS])
    split: dict[int, Split] = {}
    for unit, part in zip(units, parts, strict=True):
        split |= dict.fromkeys(unit.rows, SPLITS[part])
    how = f"made here: 70/15/15 {_manner(samples, rows, stratify)}, seed {seed}"
    plan = _as_plan(samples, split, how)
    return SplitPlan(plan.split, plan.how, _warnings_about(samples, plan, FRACTIONS))


def _carve_val(
    samples: Sequence[Sample],
    given: dict[int, Split],
    seed: int,
    together: list[list[int]],
    stratify: bool,
) -> SplitPlan:
    train_rows = np.array([row for row, split in given.items() if split == "train"])
    units = make_units(samples, train_rows, seed, together, stratify)
    _require_enough_units(samples, units, ("train", "val"))
    parts = assign_units(units, [1 - VAL_OF_TRAIN, VAL_OF_TRAIN])
    split = dict(given)
    for unit, part in zip(units, parts, strict=True):
        split |= dict.fromkeys(unit.rows, SPLITS[part])
    manner = _manner(samples, train_rows, stratify)
    how = f"test part kept as the data gives it; val is 15 % of train {manner}, seed {seed}"
    plan = _as_plan(samples, split, how)
    wanted = {"train": 1 - VAL_OF_TRAIN, "val": VAL_OF_TRAIN}
    return SplitPlan(plan.split, plan.how, _warnings_about(samples, plan, wanted))


def _as_plan(samples: Sequence[Sample], split: dict[int, Split], how: str) -> SplitPlan:
    return SplitPlan(tuple(split.get(row) for row in range(len(samples))), how)


def _manner(samples: Sequence[Sample], rows: np.ndarray, stratify: bool) -> str:
    grouped = any(samples[row].group is not None for row in rows)
    number = any(isinstance(samples[row].label, float) for row in rows)
    labels = any(samples[row].label is not None for row in rows)
    words = ["by group"] if grouped else []
    if stratify and labels:
        words.append("stratified by the number's range" if number else "stratified by class")
    return ", ".join(words) if words else "at random"


def _require_enough_units(
    samples: Sequence[Sample], units: Sequence[Unit], parts: Sequence[str]
) -> None:
    """Every class must be able to have a unit in every part."""
    if len(units) < len(parts):
        raise DataError(
            f"{len(units)} independent groups of pictures cannot be divided into "
            f"{len(parts)} parts ({', '.join(parts)}); add data, or give the split yourself"
        )
    found = Counter(label for unit in units for label in _single_classes(samples, unit))
    for label, count in sorted(found.items()):
        if count < len(parts):
            raise DataError(_too_few(samples, units, label, count, parts))


def _single_classes(samples: Sequence[Sample], unit: Unit) -> set[str]:
    labels = {samples[row].label for row in unit.rows}
    return {label for label in labels if isinstance(label, str)}


def _too_few(
    samples: Sequence[Sample], units: Sequence[Unit], label: str, count: int, parts: Sequence[str]
) -> str:
    rows = [row for unit in units for row in unit.rows if samples[row].label == label]
    first = samples[min(rows, key=lambda row: samples[row].sample_id)].path
    pictures = "1 picture" if len(rows) == 1 else f"{len(rows)} pictures"
    held = pictures if count == len(rows) else f"{pictures} in {count} independent group(s)"
    return (
        f"{first}: class '{label}' has only {held}, but {len(parts)} parts "
        f"({', '.join(parts)}) need one each; add pictures, leave the class out, "
        f"or give the split yourself"
    )


def _require_known_classes(samples: Sequence[Sample], given: dict[int, Split]) -> None:
    """A class that is scored must be trained on: else a label is mistyped, or data is missing."""
    seen = {label for row, split in given.items() if split == "train"
            for label in _labels(samples[row])}  # fmt: skip
    for row, split in given.items():
        for label in _labels(samples[row]):
            if label not in seen:
                near = get_close_matches(label, sorted(seen), n=1, cutoff=0.5)
                hint = f"is it '{near[0]}', mistyped? " if near else ""
                raise DataError(
                    f"{samples[row].path}: class '{label}' is in {split} but not in train; "
                    f"{hint}Correct the label, or add pictures of it to train"
                )


def _labels(sample: Sample) -> tuple[str, ...]:
    if isinstance(sample.label, str):
        return (sample.label,)
    return sample.label if isinstance(sample.label, tuple) else ()


def _crossing_groups(samples: Sequence[Sample], plan: SplitPlan) -> list[str]:
    """A warning where the data's own split has a group on two sides."""
    sides: dict[str, set[str]] = {}
    for sample, split in zip(samples, plan.split, strict=True):
        if sample.group is not None and split is not None:
            sides.setdefault(sample.group, set()).add(split)
    crossing = sorted(group for group, found in sides.items() if len(found) > 1)
    if not crossing:
        return []
    return [
        f"{len(crossing)} of {len(sides)} groups are in more than one part of the given split "
        f"(first: '{crossing[0]}' in {', '.join(sorted(sides[crossing[0]]))}): the score may be "
        f"too good; remove the given split to have one made by group"
    ]


def _warnings_about(
    samples: Sequence[Sample], plan: SplitPlan, wanted: dict[str, float]
) -> tuple[str, ...]:
    """What could not be had: a part of another size than wanted, a class missing from one."""
    counts = Counter(split for split in plan.split if split in wanted)
    total = sum(counts.values())
    warnings = [
        f"{name} has {counts[name]} of {total} pictures, not {share:.0%}: groups are too large "
        f"or too few to divide better"
        for name, share in wanted.items()
        if abs(counts[name] - share * total) > max(2, _FAR_FROM_WANTED * share * total)
    ]
    classes = {name: set[str]() for name in wanted}
    for sample, split in zip(samples, plan.split, strict=True):
        if split in classes:
            classes[split].update(_labels(sample))
    known = sorted(set[str]().union(*classes.values()))
    for name, found in classes.items():
        missing = [label for label in known if label not in found]
        if missing:
            warnings.append(f"{name} has no picture of {_some(missing)}: too few groups hold it")
    return tuple(warnings)


def _some(names: list[str]) -> str:
    said = ", ".join(f"'{name}'" for name in names[:5])
    return said if len(names) <= 5 else f"{said} and {len(names) - 5} more"
