"""What a data set is, what is wrong with it, and what `train` would do with it."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from vitreous.data.checks import classes_of
from vitreous.data.label_facts import LabelFacts, copies_across, label_facts, numbered_neighbours
from vitreous.data.letterbox import letterbox, match_channels
from vitreous.data.listing import printable
from vitreous.data.pictures import Header, read_header, reason_of
from vitreous.data.samples import SPLITS, LabelProblem, Picture, Sample, Skipped, Source
from vitreous.errors import DataError

TINY_CLASS = 20  # fewer pictures than this leave 3 to test on
UNEQUAL = 3.0  # the largest class over the smallest, from where on it is worth a word
SMALL_SIDE = 16  # pixels
LISTED_IN_JSON = 1_000
ROWS_A_TASK = 32
SIDE = 32  # of the thumbnails that copies are found by

PLACED = ("boxes", "mask")  # labels that say where on the picture
STRATIFIED = ("class", *PLACED)

SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WebP": (".webp",),
    "TIFF": (".tif", ".tiff"),
    "BMP": (".bmp", ".dib"),
    "GIF": (".gif",),
}


@dataclass(frozen=True)
class Sizes:
    """Heights and widths in pixels of the pictures that were decoded."""

    smallest: tuple[int, int]  # height, width of the picture with the fewest pixels
    median: tuple[int, int]  # median height, median width
    largest: tuple[int, int]
    different: int  # how many different sizes


@dataclass(frozen=True)
class Plan:
    """What `train` would do by default; `error` says why it would not."""

    task: str
    pictures: dict[str, int]  # split -> pictures
    counts: dict[str, dict[str, int]]  # split -> class -> pictures
    split_how: str
    input_size: tuple[int, int, int] | None  # channels, height, width
    input_why: str
    error: str | None = None


@dataclass(frozen=True)
class Inspection:
    """All that `vitreous inspect` shows. Made by `inspect_source`."""

    root: str
    kind: str
    why: str
    label_kind: str
    pictures: int
    counts: dict[str, dict[str, int]]  # given split ("all" where none is given) -> class -> n
    numbers: dict[str, float] | None  # least, median, greatest label of a regression
    groups: int | None
    decoded: int  # how many pictures were really decoded
    sizes: Sizes | None
    channels: dict[str, int]  # "grey", "colour" -> pictures among the decoded
    forms: dict[str, int]  # "JPEG RGB 8 bit" -> pictures among the decoded
    skipped: tuple[Skipped, ...]  # found by name or by decoding; harmless ones are marked
    findings: tuple[str, ...]  # what is odd or wrong, one sentence each
    plan: Plan
    labels: LabelFacts | None = None  # where they are boxes or masks
    problems: tuple[LabelProblem, ...] = ()  # inside labels that are used

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and text; of very many skipped files the first 1,000."""
        result = asdict(self)
        result["skipped_reasons"] = reasons(self.skipped)
        result["skipped"] = [asdict(skipped) for skipped in self.skipped[:LISTED_IN_JSON]]
        result["problems"] = [asdict(problem) for problem in self.problems[:LISTED_IN_JSON]]
        return result


@dataclass(frozen=True)
class _Look:
    """One sample as it came out of the decoder, or why it did not."""

    size: tuple[int, int] | None
    channels: int = 0
    header: Header | None = None
    error: str | None = None
    thumbnail: np.ndarray | None = None  # uint8 (channels, side, side), to find copies by


def inspect_source(
    source: Source,
    sample_at_most: int | None = 2000,
    on_progress: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Look at a source: decode its pictures, or an even spread of `sample_at_most` (None: all).

    Decoding is real (a truncated picture is found), but as small as the decoder can make it.
    """
    rows = _spread(len(source.samples), sample_at_most)
    looks = dict(zip(rows, _look_at(source, rows, on_progress), strict=True))
    broken = {row: look.error for row, look in looks.items() if look.error is not None}
    good = [look for look in looks.values() if look.error is None]
    skipped = (
        *source.skipped,
        *(Skipped(source.samples[row].sample_id, why) for row, why in broken.items()),
    )
    usable = np.ones(len(source.samples), bool)
    usable[list(broken)] = False
    groups = {sample.group for sample in source.samples if sample.group is not None}
    return Inspection(
        root=printable(str(source.root)),
        kind=source.kind,
        why=source.why,
        label_kind=source.label_kind,
        pictures=len(source.samples),
        counts=_given_counts(source),
        numbers=_numbers(source),
        groups=len(groups) if groups else None,
        decoded=len(rows),
        sizes=_sizes([look.size for look in good if look.size]),
        channels=dict(Counter("grey" if look.channels == 1 else "colour" for look in good)),
        forms=dict(Counter(_form(look.header) for look in good if look.header).most_common()),
        skipped=skipped,
        findings=tuple(_findings(source, looks, skipped, len(broken), len(rows))),
        plan=_plan(source, usable),
        labels=label_facts(source),
        problems=source.problems,
    )


def reasons(skipped: Iterable[Skipped], harmless: bool | None = None) -> dict[str, int]:
    """How many files were skipped for each reason, most first; numbers in it do not count.

    `harmless` True or False counts only those.
    """
    counts = Counter(
        general_reason(item.reason)
        for item in skipped
        if harmless is None or item.harmless == harmless
    )
    return dict(counts.most_common())


def general_reason(reason: str) -> str:
    """A reason without what is particular to one file: 'line 7 of the table: file not found'."""
    head, separator, tail = reason.partition(" of the table: ")
    if separator and head.startswith("line "):
        return tail
    return reason.split(": ")[0] if reason.startswith("damaged") else reason


def _spread(count: int, at_most: int | None) -> list[int]:
    if at_most is None or count <= at_most:
        return list(range(count))
    return sorted({int(row) for row in np.linspace(0, count - 1, at_most)})


def _look_at(
    source: Source, rows: list[int], on_progress: Callable[[int, int], None] | None
) -> Iterator[_Look]:
    workers = min(4, os.cpu_count() or 1)
    parts = [rows[start : start + ROWS_A_TASK] for start in range(0, len(rows), ROWS_A_TASK)]
    done = 0
    with ThreadPoolExecutor(workers, thread_name_prefix="inspect") as threads:
        for looks in threads.map(lambda part: _look_at_some(source, part), parts):
            done += len(looks)
            if on_progress:
                on_progress(done, len(rows))
            yield from looks


def _look_at_some(source: Source, rows: list[int]) -> list[_Look]:
    return [_look(source, source.samples[row]) for row in rows]


def _look(source: Source, sample: Sample) -> _Look:
    try:
        # the whole file, but the smallest result that is needed
        picture: Picture = source.read(sample, 2 * SIDE if source.label_kind in PLACED else 1)
    except DataError as error:
        return _Look(None, error=reason_of(error, sample.path))
    small = None
    if source.label_kind in PLACED:
        small = letterbox(match_channels(picture.pixels, 3), (SIDE, SIDE)).transpose(2, 0, 1)
    return _Look(picture.size, picture.pixels.shape[2], _header(source, sample), thumbnail=small)


def _header(source: Source, sample: Sample) -> Header | None:
    if sample.index is not None:  # in a container: there is no file of its own to look into
        return None
    try:
        return read_header(source.root / sample.path, sample.path)
    except DataError:  # it was decoded all the same
        return None


def _given_counts(source: Source) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        part = [sample for sample in source.samples if sample.split == split]
        if part:
            counts[split] = count_labels(source, part)
    return counts or {"all": count_labels(source, source.samples)}


def count_labels(source: Source, samples: Iterable[Sample]) -> dict[str, int]:
    """Pictures a class, in the classes' order; for numbers all under the name 'pictures'.

    With boxes and masks a picture counts for every class that it shows.
    """
    if source.label_kind in ("number", "none"):
        return {"pictures": sum(1 for _ in samples)}
    found: Counter[str] = Counter()
    for sample in samples:
        if source.label_kind in PLACED:
            found.update(classes_of(sample.label, source.classes))
            continue
        found.update(sample.label if isinstance(sample.label, tuple) else [str(sample.label)])
    return {name: found[name] for name in source.classes}


def _numbers(source: Source) -> dict[str, float] | None:
    values = [sample.label for sample in source.samples if isinstance(sample.label, float)]
    if source.label_kind != "number" or not values:
        return None
    return {"least": min(values), "median": median(values), "greatest": max(values)}


def _sizes(sizes: list[tuple[int, int]]) -> Sizes | None:
    if not sizes:
        return None
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    middle = (
        round(median(height for height, _ in sizes)),
        round(median(width for _, width in sizes)),
    )
    return Sizes(ordered[0], middle, ordered[-1], len(set(sizes)))


def _form(header: Header) -> str:
    alpha = ", transparent" if header.transparent else ""
    return f"{header.format} {header.mode} {header.bits} bit{alpha}"


def _findings(
    source: Source,
    looks: dict[int, _Look],
    skipped: tuple[Skipped, ...],
    broken: int,
    looked_at: int,
) -> Iterator[str]:
    yield from source.warnings
    yield from _skipped_findings(source, skipped, broken, looked_at)
    yield from _class_findings(source)
    named = [(source.samples[row].path, look.header) for row, look in looks.items() if look.header]
    yield from _form_findings(named)
    small = {row: look.thumbnail for row, look in looks.items() if look.thumbnail is not None}
    yield from copies_across(source, small)
    yield from numbered_neighbours(source)
    sizes = {look.size for look in looks.values() if look.size}
    if len(sizes) > 1:
        yield f"sizes differ ({len(sizes):,} different ones): pictures are fitted into one frame"
    if small := sum(1 for look in looks.values() if look.size and min(look.size) < SMALL_SIDE):
        yield f"{small:,} pictures have a side shorter than {SMALL_SIDE} pixels"
    if len({look.channels for look in looks.values() if look.channels}) > 1:
        yield "grey and colour are mixed: all are taken as colour"


def _skipped_findings(
    source: Source, skipped: tuple[Skipped, ...], broken: int, looked_at: int
) -> Iterator[str]:
    harmful = sum(not item.harmless for item in skipped)
    total = len(source.samples) + harmful - broken
    if harmful:
        stop = "; over 5 %, so `train` stops unless told to go on" if harmful / total > 0.05 else ""
        yield f"{harmful:,} of {total:,} files cannot be used ({harmful / total:.1%}){stop}"
    if broken and looked_at < len(source.samples):
        share = broken / looked_at
        yield (
            f"{broken:,} of {looked_at:,} pictures tried are broken: about "
            f"{share * len(source.samples):,.0f} of all; --all names every one"
        )


def _class_findings(source: Source) -> Iterator[str]:
    if source.label_kind not in ("class", "classes"):
        return
    counts = count_labels(source, source.samples)
    largest = max(counts, key=lambda name: counts[name])
    smallest = min(counts, key=lambda name: counts[name])
    if counts[largest] > UNEQUAL * counts[smallest]:
        yield (
            f"classes are unequal: {counts[largest]:,} of '{largest}', {counts[smallest]:,} of "
            f"'{smallest}'; look at balanced accuracy and at each class, not at accuracy alone"
        )
    tiny = [name for name, count in counts.items() if count < TINY_CLASS]
    if tiny:
        shown = ", ".join(f"'{name}' ({counts[name]})" for name in tiny[:5])
        more = f" and {len(tiny) - 5:,} more" if len(tiny) > 5 else ""
        yield f"classes with few pictures: {shown}{more}; their scores will be uncertain"


def _form_findings(named: list[tuple[str, Header]]) -> Iterator[str]:
    misnamed = [
        (path, header)
        for path, header in named
        if Path(path).suffix.lower() not in SUFFIXES[header.format]
    ]
    if misnamed:
        path, header = misnamed[0]
        yield (
            f"{len(misnamed):,} files have another suffix than what they hold "
            f"({path} is {header.format}): read by their content"
        )
    for what, fits in (
        ("have 16 bits: the whole range is brought to 8 bits", lambda h: h.bits > 8),
        ("have transparent parts: laid on white", lambda h: h.transparent),
        ("are CMYK: turned into red, green, blue", lambda h: h.mode == "CMYK"),
    ):
        if count := sum(fits(header) for _, header in named):
            yield f"{count:,} pictures {what}"


def _plan(source: Source, usable: np.ndarray) -> Plan:
    # these bring PyTorch along; recognising and decoding do without
    from vitreous.data.boxes.seen import box_format
    from vitreous.data.cache import choose_format
    from vitreous.data.masks.store import mask_format
    from vitreous.data.splits import plan_splits

    tasks = {
        "class": "classify", "classes": "classify-multilabel", "number": "regress",
        "boxes": "detect", "mask": "segment",
    }  # fmt: skip
    task = tasks.get(source.label_kind, "none: there are no labels")
    try:
        formats = {"segment": mask_format, "detect": box_format}
        pixel_format = formats.get(task, choose_format)(source)
        split = plan_splits(
            source.samples, seed=0, usable=usable, stratify=source.label_kind in STRATIFIED
        )
    except DataError as error:
        return Plan(task, {}, {}, "", None, "", str(error))
    parts: dict[str, list[Sample]] = {part: [] for part in SPLITS}
    for sample, place in zip(source.samples, split.split, strict=True):
        if place is not None:
            parts[place].append(sample)
    pictures = {part: len(samples) for part, samples in parts.items()}
    counts = {part: count_labels(source, samples) for part, samples in parts.items()}
    size = (pixel_format.channels, *pixel_format.size)
    return Plan(task, pictures, counts, split.how, size, pixel_format.why)
