"""Labels of scans: read, laid beside their scan, counted; whatever does not fit is said."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.class_table import ClassRow, ClassTable
from vitreous.data.masks.files import Scan as Counts
from vitreous.data.masks.files import Stored, counted
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.masks.meaning import Meaning, meaning_of
from vitreous.data.volumes.grid import Grid, turn_to_ras
from vitreous.data.volumes.scans import PLACE_MM, Scan, file_scan, read_header, read_stored
from vitreous.errors import DataError

BACKGROUND = "background"
SAME_SPACING = 1e-3  # of the spacing


@dataclass(frozen=True, eq=False)
class Checked:
    """A label that fits its scan: how many voxels each value has, and names it brings along."""

    numbers: dict[int, int]
    names: dict[int, str] | None


def check_label(root: Path, scan: Scan, label: str) -> Checked:
    """Read a label whole. Raises `DataError`, without the scan's name, where it does not fit."""
    header = read_header(root / label, label)
    if header.channels != 1:
        raise DataError(
            f"{label}: has {header.channels} values a voxel; one is needed, the number of the class"
        )
    require_same_grid(scan.header.grid, header.grid, label)
    values = whole_numbers(read_stored(root, file_scan(root, (label,)))[0], label)
    return Checked(counted(values), header.names)


def read_label(root: Path, label: str, meaning: Meaning) -> NDArray[np.uint8]:
    """A label's classes, uint8 (depth, height, width), turned to RAS as its scan is."""
    scan = file_scan(root, (label,))
    values = whole_numbers(read_stored(root, scan)[0], label)
    try:
        places = meaning.apply(Stored(values, False))
    except DataError as error:
        raise DataError(f"{label}: {error}") from None
    return np.ascontiguousarray(turn_to_ras(scan.header.grid).apply(places))


def whole_numbers(values: NDArray, label: str) -> NDArray[np.int64]:
    """Class numbers. Raises `DataError` for values between whole numbers, or no numbers."""
    if values.dtype.kind in "iu":
        return values.astype(np.int64)
    if not np.isfinite(values).all():
        raise DataError(f"{label}: has voxels that are not numbers (NaN); draw it anew")
    whole = np.rint(values)
    if not np.array_equal(whole, values):
        share = float((whole != values).mean())
        raise DataError(
            f"{label}: {share:.1%} of its values lie between whole numbers, so that it is no mask "
            "of classes (resampled without --nearest?); make it anew with nearest neighbours"
        )
    return whole.astype(np.int64)


def require_same_grid(scan: Grid, label: Grid, path: str) -> None:
    """Raises `DataError` where a label does not lie voxel on voxel with its scan.

    Files may store the axes in different orders and directions: they are compared after both are
    turned to RAS.
    """
    laid, covered = (turn_to_ras(grid).grid(grid) for grid in (scan, label))
    if laid.shape != covered.shape:
        raise DataError(
            f"{path}: a label of another size: {_sides(covered)} voxels, the scan {_sides(laid)} "
            f"(depth x height x width); resample it to the scan's grid with nearest neighbours"
        )
    apart = covered.apart_mm(laid)
    if apart <= PLACE_MM:
        return
    raise DataError(f"{path}: {_how(scan, label, laid, covered, apart)}")


def _how(scan: Grid, label: Grid, laid: Grid, covered: Grid, apart: float) -> str:
    """In which way the affine of a label contradicts that of its scan."""
    remedy = (
        "where the voxels fit all the same, copy the scan's header to the label, else resample it"
    )
    if scan.shape == label.shape and scan.letters != label.letters:
        return (
            f"flipped affine: the label's axes run {label.letters}, those of its scan "
            f"{scan.letters}, in equal arrays; {remedy}"
        )
    flipped = _flipped(label, laid)
    if flipped:
        return f"flipped affine: with {flipped} turned around it lies on its scan; {remedy}"
    unlike = np.abs(np.array(covered.spacing_mm) / np.array(laid.spacing_mm) - 1).max()
    if unlike > SAME_SPACING:
        return f"the label's spacing is {_mm(covered)} mm, the scan's {_mm(laid)} mm; {remedy}"
    return f"the label lies up to {apart:.3g} mm beside its scan by its affine; {remedy}"


def _flipped(label: Grid, laid: Grid) -> str | None:
    """Which signs of its matrix, changed, lay a label on its (turned) scan; None where none do."""
    for flips in product((False, True), repeat=3):
        signs = np.diag([*(-1.0 if flip else 1.0 for flip in flips), 1.0])
        for names, affine in (
            (("its first axis", "its second axis", "its third axis"), label.affine @ signs),
            (("left and right", "front and back", "head and feet"), signs @ label.affine),
        ):
            tried = Grid(label.shape, affine)
            turned = turn_to_ras(tried).grid(tried)
            if turned.shape == laid.shape and turned.apart_mm(laid) <= PLACE_MM:
                return ", ".join(n for n, flip in zip(names, flips, strict=True) if flip)
    return None


def _sides(grid: Grid) -> str:
    return " x ".join(map(str, grid.shape))


def _mm(grid: Grid) -> str:
    return " x ".join(f"{mm:.4g}" for mm in grid.spacing_mm)


def meaning_of_labels(
    checked: Iterable[Checked], table: ClassTable | None, ignore: int | None, where: str
) -> Meaning:
    """Classes in their order from the numbers in all labels.

    Names come from `table`, from the labels' own files, or are made: 0 is the background.
    """
    checked = list(checked)
    counts = [Counts((0, 0), one.numbers, {}, False) for one in checked]
    if table is None:
        named: dict[int, str] = {}
        for one in checked:
            for number, name in (one.names or {}).items():
                if named.setdefault(number, name) != name:
                    raise DataError(
                        f"{where}: the value {number} is called '{named[number]}' in one label and "
                        f"'{name}' in another; name the classes with --classes"
                    )
        table = _made(sorted({n for one in checked for n in one.numbers}), named, ignore)
    return meaning_of(counts, table, ignore, where)


def _made(numbers: list[int], named: dict[int, str], ignore: int | None) -> ClassTable | None:
    """A table of the numbers that occur; None where they look like no classes."""
    seen = [number for number in numbers if number not in (ignore, IGNORE)]
    if IGNORE in numbers and ignore != IGNORE and set(seen) <= {0}:
        seen = [0, IGNORE]  # two levels
    if len(seen) < 2 or len(seen) > 64 or min(seen) < 0:
        return None
    names = {0: BACKGROUND} | named
    if len(seen) == 2 and seen[0] == 0:
        names.setdefault(seen[1], "foreground")
    rows = tuple(ClassRow(names.get(number, f"class {number}"), number) for number in seen)
    return ClassTable(rows, "the labels themselves")
