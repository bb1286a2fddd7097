"""What the values in a data set's masks mean: which class each is, and which are ignored."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitreous.data.masks.class_table import ClassTable
from vitreous.data.masks.files import Scan, Stored, packed, unpacked
from vitreous.data.masks.mask_label import IGNORE, MOST_CLASSES
from vitreous.errors import DataError, RequestError

MOST_UNNAMED = 64  # more different values, without a table, are no classes but shades
TWO_LEVELS = ("background", "foreground")


@dataclass(frozen=True)
class Meaning:
    """Classes in their order, and each stored value's place among them (`IGNORE`: no class)."""

    classes: tuple[str, ...]
    place: dict[int, int]
    coloured: bool  # values are packed colours
    why: str  # for people

    def apply(self, stored: Stored) -> NDArray[np.uint8]:
        """The mask with a class's place in each pixel, uint8 (height, width).

        Raises `DataError` (without a path) where a value means nothing.
        """
        values = (stored.as_colours() if self.coloured else stored).values
        known = np.array(sorted(self.place), np.int64)
        index = np.searchsorted(known, values).clip(max=len(known) - 1)
        if not (right := known[index] == values).all():
            raise DataError(self.unknown(int(values[~right].flat[0]), int((~right).sum())))
        places = np.array([self.place[value] for value in known.tolist()], np.uint8)
        return places[index]

    def count(self, scan: Scan) -> tuple[NDArray[np.int64], int]:
        """The pixels of each class (classes,), and those of none, from a mask's scan.

        Raises `DataError` (without a path) where a value means nothing.
        """
        pixels = np.zeros(len(self.classes), np.int64)
        ignored = 0
        found = scan.colours if self.coloured else scan.numbers or {}
        for value, number in found.items():
            if value not in self.place:
                raise DataError(self.unknown(value, number))
            if self.place[value] == IGNORE:
                ignored += number
            else:
                pixels[self.place[value]] += number
        return pixels, ignored

    def unknown(self, value: int, pixels: int) -> str:
        """The sentence about pixels whose value has no name."""
        shown = ", ".join(self.said(one) for one in sorted(self.place)[:8])
        more = ", ..." if len(self.place) > 8 else ""
        return (
            f"class number without a name: {pixels:,} pixels have the value {self.said(value)}, "
            f"known are {shown}{more}; add its name to the table of classes, correct the mask, or "
            "say --ignore"
        )

    def said(self, value: int) -> str:
        """A value as people write it."""
        return "-".join(map(str, unpacked(value))) if self.coloured else str(value)


def meaning_of(
    scans: Iterable[Scan], table: ClassTable | None, ignore: int | None, where: str
) -> Meaning:
    """What the values in all masks of a data set mean.

    With a table, its numbers or colours; a class called void or unlabelled is ignored. Without:
    0 and 255 alone are two levels; 255 beside small numbers is ignored, as Pascal VOC has it; each
    other value is a class. Raises `DataError` where the values look like shades, and
    `RequestError` where `ignore` (a number) meets masks in colours.
    """
    scans = list(scans)
    coloured = any(scan.numbers is None for scan in scans) or _palettes_fit(scans, table)
    if coloured and ignore is not None:
        raise RequestError(
            f"--ignore {ignore}: {where} has masks in colours; name the class 'void' in the table "
            "of classes to ignore it"
        )
    values = {v for scan in scans for v in ((scan.colours if coloured else scan.numbers) or ())}
    if table is not None:
        return _by_table(values, table, ignore, coloured, where)
    if coloured:
        return _each_a_class(values, None, True, where)
    if values == {0, IGNORE} and ignore is None:
        return Meaning(TWO_LEVELS, {0: 0, IGNORE: 1}, False, "two levels, 0 and 255")
    highest = max((value for value in values if value != IGNORE), default=0)
    if ignore is None and IGNORE in values and highest < IGNORE // 2:
        return _each_a_class(values, IGNORE, False, where)
    return _each_a_class(values, ignore, False, where)


def _palettes_fit(scans: list[Scan], table: ClassTable | None) -> bool:
    """Whether the masks have palettes, and all their colours stand in the table."""
    if table is None or not table.coloured or not any(scan.palette for scan in scans):
        return False
    known = {packed(row.colour) for row in table.rows if row.colour is not None}
    return all(scan.palette and set(scan.colours) <= known for scan in scans)


def _by_table(
    values: set[int], table: ClassTable, ignore: int | None, coloured: bool, where: str
) -> Meaning:
    if coloured and not table.coloured:
        lacking = next(row.name for row in table.rows if row.colour is None)
        raise DataError(
            f"{where}: masks in colours, but {table.where} gives none for '{lacking}'; add columns "
            "r, g, b to it"
        )
    kept = [row for row in table.rows if not row.ignored and row.number != ignore]
    dropped = [row for row in table.rows if row not in kept]
    two_levels = (
        not coloured and ignore is None and values == {0, IGNORE} and len(table.rows) == 2
        and {row.number for row in table.rows} == {0, 1}
    )  # fmt: skip

    def value(number: int, colour: tuple[int, int, int] | None) -> int:
        if coloured and colour is not None:
            return packed(colour)
        return IGNORE if two_levels and number == 1 else number

    place = {value(row.number, row.colour): at for at, row in enumerate(kept)}
    place |= {value(row.number, row.colour): IGNORE for row in dropped}
    if not coloured and ignore is not None:
        place[ignore] = IGNORE
    elif not coloured and not two_levels:
        place.setdefault(IGNORE, IGNORE)
    said = f"{len(kept)} classes from {table.where}"
    if dropped:
        said += f", {' and '.join(row.name for row in dropped)} ignored"
    return Meaning(tuple(row.name for row in kept), place, coloured, said)


def _each_a_class(values: set[int], ignore: int | None, coloured: bool, where: str) -> Meaning:
    present = sorted(value for value in values if value != ignore)
    what = "colours" if coloured else "values"
    if len(present) > MOST_UNNAMED:
        raise DataError(
            f"{where}: masks hold {len(present):,} different {what}: these are shades, not "
            "classes; make each pixel one class (two levels: 0 and 255), or give --classes"
        )
    if len(present) < 2:
        raise DataError(
            f"{where}: masks hold one of the {what} alone; at least two classes are needed"
        )
    meaning = Meaning((), dict.fromkeys(present, 0), coloured, "")
    names = tuple(f"{'colour' if coloured else 'class'} {meaning.said(value)}" for value in present)
    place = {value: at for at, value in enumerate(present)}
    said = f"{len(present)} {what}, each a class without a name (--classes gives names)"
    if ignore is not None:
        place[ignore] = IGNORE
        said += f", {ignore} ignored"
    assert len(names) <= MOST_CLASSES
    return Meaning(names, place, coloured, said)
