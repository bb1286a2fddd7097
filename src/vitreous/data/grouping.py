"""Groups (patients, subjects, slides) from the names of files."""

import re
from dataclasses import replace

from vitreous.data.samples import Sample, Source
from vitreous.errors import DataError


def is_pattern(group: str) -> bool:
    """Whether `--group` is a regular expression with one capturing group, not a column's name.

    >>> is_pattern(r"(patient\\d+)/"), is_pattern("patient")
    (True, False)
    """
    try:
        return re.compile(group).groups == 1
    except re.error:
        return False


def group_by_pattern(source: Source, pattern: str) -> Source:
    """The same source with each sample's group taken from its path by a regular expression.

    Raises `DataError` where a path does not fit, or where all paths give the same group.
    """
    expression = re.compile(pattern)
    groups = [_group(expression, sample) for sample in source.samples]
    if misfits := [s.path for s, g in zip(source.samples, groups, strict=True) if g is None]:
        raise DataError(
            f"{source.root / misfits[0]}: --group '{pattern}' does not fit this path "
            f"(and {len(misfits) - 1:,} others of {len(groups):,}); the expression is searched "
            "in the path below the data folder"
        )
    if len(set(groups)) == 1:
        raise DataError(
            f"{source.root}: --group '{pattern}' gives all pictures the group '{groups[0]}'; "
            "groups that differ are needed"
        )
    samples = tuple(replace(s, group=g) for s, g in zip(source.samples, groups, strict=True))
    why = f"{source.why}; {len(set(groups)):,} groups from the paths by '{pattern}'"
    return replace(source, samples=samples, why=why)


def _group(expression: re.Pattern[str], sample: Sample) -> str | None:
    match = expression.search(sample.path)
    return match[1] if match else None
