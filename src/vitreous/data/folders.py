"""Pictures in folders named after their classes, with or without train/val/test above them."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from vitreous.data.content import describe_content, picture_format
from vitreous.data.labels import class_order
from vitreous.data.listing import is_hidden, is_picture_name, sorted_entries, walk
from vitreous.data.pairing import LABEL_FOLDERS, PICTURE_FOLDERS
from vitreous.data.pictures import MAX_PIXELS, read_picture
from vitreous.data.samples import SPLITS, Picture, Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits, split_of
from vitreous.errors import DataError

Progress = Callable[[int, int], None]
"""Called with (done, total); total is 0 while it is not known."""

PROGRESS_STEP = 5_000


@dataclass
class Tree:
    """What a walk of the data folder found: POSIX paths relative to it, in the walk's order."""

    root: Path
    pictures: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def walk_tree(root: Path, on_progress: Progress | None = None) -> Tree:
    """All of a folder's files by kind of name. Raises `DataError` where it cannot be read."""
    tree = Tree(root)
    for count, found in enumerate(walk(root, tree.skipped.append), start=1):
        (tree.pictures if is_picture_name(found.name) else tree.others).append(found.path)
        if on_progress and count % PROGRESS_STEP == 0:
            on_progress(count, 0)
    for skipped in tree.skipped:
        if skipped.path == str(root):
            raise DataError(f"{root}: {skipped.reason}")
    return tree


def file_reader(root: Path, max_pixels: int) -> Callable[[Sample, int | None], Picture]:
    """The `Source.read` of data sets that have one file a picture."""

    def read(sample: Sample, minimum_side: int | None = None) -> Picture:
        return read_picture(root / sample.path, sample.path, minimum_side, max_pixels)

    return read


def read_folders(tree: Tree, max_pixels: int = MAX_PIXELS) -> Source:
    """Class folders, or train/val/test folders of class folders.

    A picture belongs to the class that its first folder names, however deep it lies below (so
    that patients may have folders of their own). A folder that only wraps others is stepped over.
    Raises `DataError` where the folders give no classes.
    """
    base = _step_over_wrappers(tree.pictures)
    given = _split_folders(tree.pictures, base)
    if not given:
        _refuse_unlabelled_splits(tree, base)
        _refuse_masks(tree, base)
        _refuse_classes_above_splits(tree, base)
    level = base + 1 if given else base  # the part of a path that names the class
    use, meaning = _use_of_splits(tree, base, given)
    samples: list[Sample] = []
    skipped = list(tree.skipped)
    for path in tree.pictures:
        parts = path.split("/")
        part = split_of(parts[base]) if given else None
        if given and (len(parts) == base + 1 or parts[base] not in given):
            skipped.append(Skipped(path, f"lies beside the folders {_join(given)}", harmless=True))
        elif len(parts) <= level + 1:
            skipped.append(_without_class(path, part))
        else:
            split = use[part] if part else None
            samples.append(Sample(path, path, parts[level], split))
    _refuse_unreadable(tree, level)
    skipped += _describe_others(tree, level)
    classes = class_order({str(sample.label) for sample in samples})
    return Source(
        root=tree.root,
        kind="train/val/test folders" if given else "class folders",
        why=_explain(tree, samples, classes, given, meaning, base),
        label_kind="class",
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        files=tuple(tree.root / sample.path for sample in samples),
        read=file_reader(tree.root, max_pixels),
        warnings=tuple(_warnings(tree, skipped, classes, base, given)),
    )


def _use_of_splits(
    tree: Tree, base: int, given: dict[str, Split]
) -> tuple[dict[Split, Split | None], str]:
    """What the given parts are used for; a part without class folders gives nothing to score."""
    deepest = _depth_below(tree.pictures, base)
    labelled = {split for top, split in given.items() if deepest[top] > base + 1}
    return settle_splits(labelled, str(tree.root))


def _step_over_wrappers(pictures: list[str]) -> int:
    """How many folders at the top hold everything and say nothing: `data/photos/ants/1.jpg`."""
    base = 0
    while True:
        tops = {path.split("/")[base] for path in pictures if path.count("/") > base}
        loose = any(path.count("/") == base for path in pictures)
        deep = all(path.count("/") > base + 1 for path in pictures)
        if len(tops) != 1 or loose or not deep or split_of(next(iter(tops))):
            return base
        base += 1


def _split_folders(pictures: list[str], base: int) -> dict[str, Split]:
    """The folders at this level that name a split and hold class folders; empty if none do.

    A class may be called 'train' (beside 'bus' and 'car'): a split holds folders of pictures.
    """
    deepest = _depth_below(pictures, base)
    named: dict[str, Split] = {}
    for top in deepest:
        if split := split_of(top):
            named[top] = split
    if not any(deepest[top] > base + 1 for top in named):
        return {}
    if len(named) == len(deepest) or "train" in named.values():
        return named
    return {}


def _depth_below(pictures: list[str], base: int) -> dict[str, int]:
    """The deepest nesting of pictures below each folder of one level, sorted by its name."""
    deepest: dict[str, int] = {}
    for path in pictures:
        depth = path.count("/")
        if depth > base:
            top = path.split("/")[base]
            deepest[top] = max(deepest.get(top, 0), depth)
    parts = {split: number for number, split in enumerate(SPLITS)}
    return dict(sorted(deepest.items(), key=lambda i: (parts.get(split_of(i[0]) or "", 9), i[0])))


def _refuse_unlabelled_splits(tree: Tree, base: int) -> None:
    """`train/1.jpg`, `test/2.jpg`: nobody wants to learn which part a picture comes from."""
    splits = [top for top in _depth_below(tree.pictures, base) if split_of(top)]
    if len(splits) > 1:
        raise DataError(
            f"{tree.root}: {_join(splits)} hold pictures, but no class folders; "
            "put each class in a folder of its own inside them, or give a table with the labels"
        )


def _refuse_masks(tree: Tree, base: int) -> None:
    """`images/1.png`, `masks/1.png`: pictures and their outlines, not two classes."""
    tops = {top.lower() for top in _depth_below(tree.pictures, base)}
    if tops & PICTURE_FOLDERS and tops & LABEL_FOLDERS:
        raise DataError(
            f"{tree.root}: {_join(sorted(tops))} look like pictures and their masks, not like "
            "classes, but their names do not agree; give a mask the name of its picture"
        )


def _refuse_classes_above_splits(tree: Tree, base: int) -> None:
    """`ants/train/1.jpg`: pooling the parts would break a split that its makers chose."""
    seconds = {p.split("/")[base + 1] for p in tree.pictures if p.count("/") > base + 1}
    flat = any(path.count("/") == base + 1 for path in tree.pictures)
    if not flat and len(seconds) > 1 and all(split_of(second) for second in seconds):
        raise DataError(
            f"{tree.root}: {_join(sorted(seconds))} lie inside the class folders; "
            "turn the levels round, so that each class folder lies in train/, val/ or test/"
        )


def _without_class(path: str, part: Split | None) -> Skipped:
    if part:
        return Skipped(path, f"in {part}, but in no class folder: no label", harmless=True)
    return Skipped(path, "lies in no class folder: no label")


def _refuse_unreadable(tree: Tree, level: int) -> None:
    """A class folder without permission would silently take a class out of the question."""
    for skipped in tree.skipped:
        if skipped.reason.startswith("not readable") and skipped.path.count("/") <= level:
            raise DataError(
                f"{tree.root / skipped.path}: {skipped.reason}; allow reading it (chmod), "
                "or move it away if it is not part of the data"
            )


def _describe_others(tree: Tree, level: int) -> Iterable[Skipped]:
    """Files whose names are no pictures' names: what they are, by a look at their first bytes."""
    for path in tree.others:
        if path.count("/") <= level:
            yield Skipped(path, "no picture, and in no class folder", harmless=True)
        else:
            yield Skipped(path, _look_inside(tree.root / path))


def _look_inside(path: Path) -> str:
    try:
        with path.open("rb") as file:
            start = file.read(512)
    except OSError:
        return "not a picture by its name, and not readable"
    if kind := picture_format(start):
        suffix = path.suffix or "no suffix"
        return f"wrong suffix: a {kind} picture named {suffix}; rename it to use it"
    return f"not a picture: {describe_content(start) if start else 'empty (0 bytes)'}"


def _join(names: Iterable[str]) -> str:
    return ", ".join(f"{name}/" for name in names)


def _explain(
    tree: Tree,
    samples: list[Sample],
    classes: tuple[str, ...],
    given: dict[str, Split],
    meaning: str,
    base: int,
) -> str:
    wrapper = "/".join(tree.pictures[0].split("/")[:base]) + "/" if base else ""
    inside = f" inside {wrapper}" if wrapper else ""
    shown = ", ".join(classes[:4]) + (", ..." if len(classes) > 4 else "")
    if given:
        return (
            f"the folders {_join(given)}{inside} hold {len(classes)} class folders ({shown}) "
            f"with {len(samples):,} pictures; {meaning}"
        )
    return (
        f"{len(classes)} folders{inside}, one a class ({shown}), hold {len(samples):,} pictures; "
        "no split is given"
    )


def _warnings(
    tree: Tree,
    skipped: list[Skipped],
    classes: tuple[str, ...],
    base: int,
    given: dict[str, Split],
) -> Iterable[str]:
    unlabelled = Counter(s.path.split("/")[base] for s in skipped if s.reason.endswith("no label"))
    for folder in given:
        if unlabelled[folder]:
            count = unlabelled[folder]
            yield f"{folder}/ holds {count:,} pictures in no class folder: unlabelled, not used"
    beside = Counter(s.path.split("/")[base] for s in skipped if s.reason.startswith("lies beside"))
    for folder, count in sorted(beside.items()):
        yield f"{folder} is not part of the split {_join(given)}: {count:,} pictures not used"
    lower = Counter(name.lower() for name in classes)
    for name, count in lower.items():
        if count > 1:
            same = [other for other in classes if other.lower() == name]
            yield f"the classes {' and '.join(same)} differ in upper and lower case only"
    for folder in _empty_class_folders(tree, base, given):
        yield f"the folder {folder}/ holds no picture and is no class"


def _empty_class_folders(tree: Tree, base: int, given: dict[str, Split]) -> Iterable[str]:
    """Folders at the classes' level without any picture below them."""
    above = "/".join(tree.pictures[0].split("/")[:base])
    parents = [f"{above}/{split}".strip("/") for split in given] if given else [above]
    depth = base + 2 if given else base + 1
    filled = {tuple(path.split("/")[:depth]) for path in tree.pictures}
    for parent in parents:
        for entry in sorted_entries(tree.root / parent):
            path = f"{parent}/{entry.name}".strip("/")
            visible_folder = entry.is_dir() and not is_hidden(entry.name)
            if visible_folder and tuple(path.split("/")) not in filled:
                yield path
