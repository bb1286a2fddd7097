"""Which scan goes with which label: by `imagesTr`/`labelsTr`, `images`/`masks`, names, a table."""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitreous.data.masks.class_table import ClassRow, ClassTable
from vitreous.data.pairing import holds_labels, pair, split_in
from vitreous.data.samples import Skipped, Split
from vitreous.data.volumes.scans import Found, volume_stem, with_channels
from vitreous.errors import DataError
from vitreous.files import read_json

LABEL_ENDINGS = ("_seg", "_mask", "_label", "_labels", "-label", "-seg", "_segmentation", "_gt")
TRAINING, TESTING = ("imagesTr", "labelsTr"), ("imagesTs", "labelsTs")


@dataclass(frozen=True)
class Case:
    """Files of one scan and of its label, relative to the root; the label may be missing."""

    name: str  # a path without ending and channel
    files: tuple[str, ...]
    label: str | None
    split: Split | None = None


@dataclass
class Layout:
    """All cases of a data set, and how they were found."""

    kind: str
    why: str
    cases: list[Case] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    table: ClassTable | None = None  # where a dataset.json names the classes
    channels: tuple[str, ...] = ()  # such as CT, or T1 and FLAIR


def find_layout(root: Path, found: Found) -> Layout | None:
    """The layout of the files below a folder; None where nothing there is a label.

    Raises `DataError` where a dataset.json cannot be used.
    """
    base = _decathlon(found.files)
    if base is not None:
        return _read_decathlon(root, base, found)
    labels = [path for path in found.files if any(map(holds_labels, path.split("/")[:-1]))]
    if labels:
        return _paired(found, labels)
    return _beside(found.files)


def _decathlon(files: Iterable[str]) -> str | None:
    """The folder that holds `imagesTr` and `labelsTr`, with its slash; None where there is none."""
    bases = {
        path[: path.index(f"{folder}/")]
        for path in files
        for folder in TRAINING
        if f"/{folder}/" in f"/{path}"
    }
    if len(bases) > 1:
        some = " and ".join(sorted(base or "./" for base in bases)[:2])
        raise DataError(f"{some}: both hold imagesTr or labelsTr; give one of them")
    return bases.pop() if bases else None


def _read_decathlon(root: Path, base: str, found: Found) -> Layout:
    facts = root / base / "dataset.json"
    described = read_json(facts) if facts.is_file() else {}
    if not isinstance(described, dict):
        raise DataError(f"{facts}: no object of facts; see the format of nnU-Net or the Decathlon")
    kind = "imagesTr and labelsTr" + (" with dataset.json" if described else "")
    layout = Layout(kind, "")
    layout.table = _classes(described.get("labels"), facts)
    layout.channels = _channels(described)
    tested = any(f"{base}{TESTING[1]}/" in path for path in found.files)
    for (images, labels), split in ((TRAINING, "train"), (TESTING, "test")):
        part = split if tested else None
        _fold(layout, base, images, labels, found, part)  # type: ignore[arg-type]
    _require_listed(layout, described, base, facts)
    named = f", {len(layout.table.rows)} classes from dataset.json" if layout.table else ""
    layout.why = f"{base}imagesTr and labelsTr hold {len(layout.cases):,} cases{named}" + (
        "; labelsTs is the test part" if tested else ""
    )
    return layout


def _fold(
    layout: Layout, base: str, images: str, labels: str, found: Found, split: Split | None
) -> None:
    """The cases of one pair of folders."""
    here = [path for path in found.files if path.startswith(f"{base}{images}/")]
    by_name = {
        posixpath.basename(volume_stem(path)): path
        for path in found.files
        if path.startswith(f"{base}{labels}/")
    }
    cases = with_channels(here)
    if not all(posixpath.basename(case) in by_name for case in cases):
        single = {volume_stem(path): (path,) for path in here}
        fits = sum(posixpath.basename(case) in by_name for case in single)
        if fits > sum(posixpath.basename(case) in by_name for case in cases):
            cases = single  # the numbers at the ends are names, not channels
    for case, files in cases.items():
        label = by_name.pop(posixpath.basename(case), None)
        if label is not None:
            layout.cases.append(Case(case, files, label, split))
        elif images == TESTING[0]:
            layout.skipped.append(Skipped(files[0], "a scan to predict, no label", harmless=True))
        else:
            layout.skipped.append(Skipped(files[0], f"no label of its name in {labels}"))
    for label in by_name.values():
        layout.skipped.append(Skipped(label, f"a label without a scan of its name in {images}"))


def _require_listed(layout: Layout, described: dict[str, Any], base: str, facts: Path) -> None:
    """What dataset.json lists and is not there is said, a file each."""
    training = described.get("training")
    if not isinstance(training, list):
        return
    there = {posixpath.basename(case.name) for case in layout.cases}
    met = there | {posixpath.basename(volume_stem(item.path)) for item in layout.skipped}
    for item in training:
        image = item.get("image") if isinstance(item, dict) else item
        if not isinstance(image, str):
            continue
        path = posixpath.normpath(posixpath.join(base, image))
        if posixpath.basename(volume_stem(path)) not in met:
            layout.skipped.append(Skipped(path, f"listed in {facts.name}, but not there"))


def _classes(labels: Any, facts: Path) -> ClassTable | None:
    """The classes of a dataset.json: numbers by names (nnU-Net) or names by numbers (MSD)."""
    if labels is None:
        return None
    try:
        if all(str(key).lstrip("-").isdecimal() for key in labels):
            pairs = [(int(number), str(name)) for number, name in labels.items()]
        else:
            pairs = [(int(number), str(name)) for name, number in labels.items()]
    except (TypeError, ValueError, AttributeError):
        raise DataError(
            f"{facts}: 'labels' gives no number to each name (regions of several labels are not "
            'known here); write {"background": 0, "tumour": 1}'
        ) from None
    rows = tuple(ClassRow(name, number) for number, name in sorted(pairs))
    for what, values in (("number", [r.number for r in rows]), ("name", [r.name for r in rows])):
        if len(set(values)) < len(values):
            raise DataError(f"{facts}: two labels have one {what}; give each its own")
    return ClassTable(rows, facts.name)


def _channels(described: dict[str, Any]) -> tuple[str, ...]:
    names = described.get("channel_names") or described.get("modality")
    if not isinstance(names, dict):
        return ()
    return tuple(str(names[key]) for key in sorted(names, key=lambda key: (len(key), key)))


def _paired(found: Found, labels: Sequence[str]) -> Layout:
    """Scans and labels in folders that say so, by name."""
    chosen = set(labels)
    scans = [path for path in found.files if path not in chosen]
    stems = {f"{volume_stem(path)}.": path for path in found.files}
    pairs = pair(
        [f"{volume_stem(path)}." for path in scans],
        [f"{volume_stem(path)}." for path in labels],
        LABEL_ENDINGS,
    )
    folders = dict.fromkeys(
        f"{part}/" for path in labels for part in path.split("/")[:-1] if holds_labels(part)
    )
    layout = Layout("volumes and masks", "")
    for scan, label in pairs.pairs:
        path = stems[scan]
        layout.cases.append(Case(volume_stem(path), (path,), stems[label], split_in(path)))
    for one in pairs.lonely_pictures:
        layout.skipped.append(Skipped(stems[one], "no mask of its name: not labelled"))
    for one in pairs.lonely_labels:
        layout.skipped.append(Skipped(stems[one], "a mask without a scan of its name"))
    for one, several in pairs.ambiguous:
        names = " and ".join(stems[name] for name in several[:2])
        layout.skipped.append(Skipped(stems[one], f"{names} have its name; rename one"))
    layout.why = f"{', '.join(list(folders)[:3])} hold masks of {len(layout.cases):,} scans by name"
    return layout


def _beside(files: Sequence[str]) -> Layout | None:
    """`7_seg.nii.gz` beside `7.nii.gz`."""
    by_stem = {volume_stem(path): path for path in files}
    cases = []
    for stem, path in by_stem.items():
        ending = next((ending for ending in LABEL_ENDINGS if stem.lower().endswith(ending)), None)
        scan = by_stem.get(stem[: -len(ending)]) if ending else None
        if scan is not None:
            cases.append(Case(volume_stem(scan), (scan,), path, split_in(scan)))
    if not cases:
        return None
    used = {path for case in cases for path in (*case.files, case.label)}
    layout = Layout("volumes with masks beside them", "", cases)
    layout.skipped += [
        Skipped(path, "neither a mask of a scan nor a scan with a mask")
        for path in files
        if path not in used
    ]
    first = cases[0]
    layout.why = (
        f"{len(cases):,} scans have a mask beside them, such as "
        f"{posixpath.basename(str(first.label))}"
    )
    return layout


def repeated(cases: Iterable[Case]) -> Iterator[tuple[str, int]]:
    """Scans that have several labels, and how many."""
    counts: dict[str, int] = {}
    for case in cases:
        counts[case.files[0]] = counts.get(case.files[0], 0) + 1
    yield from ((path, count) for path, count in counts.items() if count > 1)
