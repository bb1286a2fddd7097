"""Looking at what the user has, and saying what it is and why."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from vitreous.data.boxes.tables import has_boxes
from vitreous.data.checks import check_for_training, check_not_empty
from vitreous.data.folders import Progress, Tree, read_folders, walk_tree
from vitreous.data.grouping import group_by_pattern, is_pattern
from vitreous.data.idx import is_idx_name, read_idx
from vitreous.data.labels import check_task
from vitreous.data.layouts import (
    PLACED_TASKS,
    Wanted,
    is_label_file,
    read_places,
    shows_places,
)
from vitreous.data.listing import is_hidden, is_picture_name
from vitreous.data.pictures import MAX_PIXELS, why_unreadable
from vitreous.data.samples import Source
from vitreous.data.tables import is_table_name, names_pictures, read_table
from vitreous.errors import DataError, RequestError

if TYPE_CHECKING:
    from vitreous.data.recordings import RecordingSettings

LAYOUTS = (
    "a folder for each class, train/ and test/ of such folders, a CSV or TSV table with path and "
    "label, IDX files, an .npz file, Parquet files, boxes (Pascal VOC, COCO, YOLO, a table), "
    "images/ and masks/, scans (DICOM, NIfTI, NRRD, MetaImage; imagesTr/ and labelsTr/, images/ "
    "and masks/, a table), or recordings (EDF, BDF, GDF, BrainVision, EEGLAB, FIF, CNT, EGI, BIDS "
    "folders, .ts)"
)


def recognise(
    path: Path,
    *,
    group: str | None = None,
    task: str | None = None,
    label: str | None = None,
    classes: str | Path | Sequence[str] | None = None,
    ignore: int | None = None,
    max_pixels: int = MAX_PIXELS,
    for_training: bool = True,
    recordings: "RecordingSettings | None" = None,
    slices: str | None = None,
    labels: bool = True,
    on_progress: Progress | None = None,
) -> Source:
    """The data set at `path` (a folder or a file), without decoding a picture.

    Recordings of the brain are read whole, by the settings in `recordings`. Of scans the labels are
    read whole; with `slices` (axial, coronal, sagittal) each slice is a picture.

    `group` is a column's name, or a regular expression with one capturing group that is searched
    in each sample's path; `task` classify, classify-multilabel, regress, detect or segment where
    the data leave it open; `label` a column's name. `classes` names the classes of masks (a file,
    or names in the order of their numbers), `ignore` is the mask's number that is no class.
    `max_pixels` is what `Source.read` will decode at most.
    `for_training=False` leaves out the checks that only training needs (data to evaluate on may
    have one class); without `labels` DICOM series are found whether or not they have one.
    `on_progress(done, total)` is called now and then, total 0 while unknown.

    Raises `DataError` where nothing fits or the data cannot be learned from, `RequestError` where
    the arguments do not fit the data.
    """
    path = Path(path)
    check_task(task)
    if group is not None and not group:
        raise RequestError("--group is empty; give a column's name or a regular expression")
    from vitreous.data.recordings import RecordingSettings, holds_recordings, read_recordings

    _check_exists(path)
    column = "" if group and is_pattern(group) else group  # empty: take no column
    wanted = Wanted(task, column, label, classes, ignore, max_pixels, on_progress)
    source = _read_scans(path, wanted, slices, labels)
    rate_hz = recordings.sampling_rate_hz if recordings else None
    if source is None and holds_recordings(path, rate_hz):
        _refuse_mask_flags(path, wanted)
        settings = recordings or RecordingSettings(
            label=label, subject=group, task=task, for_training=for_training
        )
        return read_recordings(path, settings, on_progress)
    if source is None:
        source = _read_places(path, wanted)
    if source is None:
        _refuse_mask_flags(path, wanted)
        source = _read(path, wanted.group, task, label, max_pixels, on_progress)
    check_not_empty(source)
    if not source.decoding:
        source = replace(source, decoding=f"max_pixels {max_pixels}")
    if group and is_pattern(group):
        source = group_by_pattern(source, group)
    return check_for_training(source) if for_training else source


def _read_scans(path: Path, wanted: Wanted, slices: str | None, labels: bool) -> Source | None:
    """The data set of medical scans, or of their slices; None where there are none."""
    from vitreous.data.volumes.scans import holds_volumes
    from vitreous.data.volumes.tables import names_volumes

    table = path.is_file() and is_table_name(path.name) and names_volumes(path)
    if not table and not holds_volumes(path):
        if slices is not None:
            raise RequestError(f"--slices {slices}: is for scans; none are found in {path}")
        return None
    from vitreous.data.volumes.slices import slices_of
    from vitreous.data.volumes.source import VolumeSettings, read_volumes

    # with slices, --label names a structure and --task what is asked of each slice
    of_slices = slices is not None and not table
    settings = VolumeSettings(
        group=wanted.group,
        label=None if of_slices else wanted.label,
        task=None if of_slices else wanted.task,
        classes=wanted.classes,
        ignore=wanted.ignore,
        labels=labels,
    )
    source = read_volumes(path, settings, wanted.on_progress)
    return source if slices is None else slices_of(source, slices, wanted.label, wanted.task)


def _read_places(path: Path, wanted: Wanted) -> Source | None:
    """The data set where its labels say where things are: boxes or masks; else None."""
    if wanted.task not in (None, *PLACED_TASKS):
        return None
    if path.is_file():
        return read_places(path.parent, wanted, path) if is_label_file(path) else None
    folder = _step_into(path)
    entries = _visible_files(folder)
    tables = any(is_table_name(entry.name) and has_boxes(entry) for entry in entries)
    if tables or wanted.task is not None or shows_places(folder):
        return read_places(path, wanted)
    return None


def _refuse_mask_flags(path: Path, wanted: Wanted) -> None:
    flag = "--classes" if wanted.classes is not None else "--ignore"
    if wanted.classes is not None or wanted.ignore is not None:
        raise RequestError(f"{flag} is for masks; none are found in {path}")


def _check_exists(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        near = _similar_beside(path)
        hint = f"; did you mean {near}?" if near else "; check the path"
        reason = "does not exist" if isinstance(error, FileNotFoundError) else why_unreadable(error)
        raise DataError(f"{path}: {reason}{hint}") from None


def _similar_beside(path: Path) -> Path | None:
    try:
        names = [entry.name for entry in path.parent.iterdir()]
    except OSError:
        return None
    near = get_close_matches(path.name, names, n=1)
    return path.parent / near[0] if near else None


def _read(
    path: Path,
    group: str | None,
    task: str | None,
    label: str | None,
    max_pixels: int,
    on_progress: Progress | None,
) -> Source:
    """The first reader that fits. Tables name their pictures, so they go before folders."""
    if path.is_file():
        return _read_file(path, path.parent, group, task, label, max_pixels, on_progress)
    folder = _step_into(path)
    entries = _visible_files(folder)
    if any(is_idx_name(entry.name) for entry in entries):
        _refuse_columns(group, label, "IDX files")
        return read_idx(folder, path, task=task)
    if parquet := _parquet_files(folder, entries):
        return _parquet(parquet, path, group, task, label, max_pixels)
    for choose in (_npz_files, _tables):
        found = choose(entries)
        if len(found) > 1:
            names = ", ".join(file.name for file in found)
            raise DataError(f"{folder}: {names}: more than one could be meant; give one of them")
        if found:
            return _read_file(found[0], path, group, task, label, max_pixels, on_progress)
    return _class_folders(path, group, task, label, max_pixels, on_progress)


def _read_file(
    path: Path,
    root: Path,
    group: str | None,
    task: str | None,
    label: str | None,
    max_pixels: int,
    on_progress: Progress | None,
) -> Source:
    suffix = path.suffix.lower()
    if is_table_name(path.name):
        return read_table(
            path, root, group=group, task=task, label=label, max_pixels=max_pixels,
            on_progress=on_progress,
        )  # fmt: skip
    if suffix == ".npz":
        from vitreous.data.arrays import read_npz

        return read_npz(path, root, group=group, task=task, label=label)
    if suffix == ".parquet":
        return _parquet([path], root, group, task, label, max_pixels)
    if is_idx_name(path.name):
        _refuse_columns(group, label, "IDX files")
        return read_idx(path.parent, root, task=task)
    what = "one picture" if is_picture_name(path.name) else f"a file of unknown kind ('{suffix}')"
    raise DataError(f"{path}: {what}, no data set; known are {LAYOUTS}")


def _parquet(
    paths: list[Path],
    root: Path,
    group: str | None,
    task: str | None,
    label: str | None,
    max_pixels: int,
) -> Source:
    from vitreous.data.parquet import read_parquet  # pyarrow takes a while to import

    return read_parquet(
        paths, root, group=group, task=task, label=label, max_pixels=max_pixels
    )  # fmt: skip


def _class_folders(
    path: Path,
    group: str | None,
    task: str | None,
    label: str | None,
    max_pixels: int,
    on_progress: Progress | None,
) -> Source:
    tree = walk_tree(path, on_progress)
    if not tree.pictures:
        raise DataError(f"{path}: {_what_else(tree)}; known are {LAYOUTS}")
    if all("/" not in picture for picture in tree.pictures):
        raise DataError(
            f"{path}: {len(tree.pictures):,} pictures without a label: no folder says their class "
            f"and no table names them; known are {LAYOUTS}"
        )
    _refuse_columns(group, label, "class folders")
    if task not in (None, "classify"):
        raise RequestError(f"{path}: --task {task} needs a table; class folders give one class")
    return read_folders(tree, max_pixels)


def _refuse_columns(group: str | None, label: str | None, kind: str) -> None:
    if group:
        raise RequestError(
            f"--group '{group}': {kind} have no columns; give a regular expression with one group "
            r"in parentheses, such as '(patient\d+)', that is searched in the paths"
        )
    if label:
        raise RequestError(f"--label '{label}': {kind} have no columns to choose from")


def _what_else(tree: Tree) -> str:
    """What a folder without pictures holds, so that the user sees what was looked at."""
    unreadable = [s for s in tree.skipped if s.reason.startswith("not readable")]
    if unreadable:
        return f"no picture found, and {unreadable[0].path} is {unreadable[0].reason}"
    if not tree.others:
        hidden = f" (only {len(tree.skipped):,} hidden or broken entries)" if tree.skipped else ""
        return f"the folder is empty{hidden}"
    suffixes = Counter(Path(other).suffix.lower() or "no suffix" for other in tree.others)
    seen = ", ".join(f"{count:,} {suffix}" for suffix, count in suffixes.most_common(4))
    return f"no pictures among {len(tree.others):,} files ({seen})"


def _step_into(path: Path) -> Path:
    """Through folders that hold nothing but one other folder, such as MNIST/raw/."""
    while True:
        entries = [entry for entry in _entries(path) if not is_hidden(entry.name)]
        if len(entries) != 1 or not entries[0].is_dir() or entries[0].is_symlink():
            return path
        path = entries[0]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir(), key=lambda entry: entry.name)
    except OSError as error:
        raise DataError(
            f"{folder}: {why_unreadable(error)}; allow reading it, or give another folder"
        ) from None


def _visible_files(folder: Path) -> list[Path]:
    """The files of a folder that may say what the data set is; pictures and folders do not."""
    return [
        entry
        for entry in _entries(folder)
        if not is_hidden(entry.name) and not is_picture_name(entry.name) and entry.is_file()
    ]


def _parquet_files(folder: Path, entries: Iterable[Path]) -> list[Path]:
    """Those of the folder, or of its folder `data` (as data sets are published)."""
    here = [entry for entry in entries if entry.suffix.lower() == ".parquet"]
    if here or not (folder / "data").is_dir():
        return here
    below = _visible_files(folder / "data")
    return [entry for entry in below if entry.suffix.lower() == ".parquet"]


def _npz_files(entries: Iterable[Path]) -> list[Path]:
    return [entry for entry in entries if entry.suffix.lower() == ".npz"]


def _tables(entries: Iterable[Path]) -> list[Path]:
    """Tables with a column of paths; what belongs to other tables (class names) is none."""
    return [entry for entry in entries if is_table_name(entry.name) and names_pictures(entry)]
