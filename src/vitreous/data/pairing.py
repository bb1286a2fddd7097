"""Pictures and the files that label them, brought together by where they lie and what they are
called: `images/train/7.jpg` and `labels/train/7.txt`, `train/7.jpg` and `trainannot/7.png`."""

import posixpath
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from vitreous.data.samples import Split
from vitreous.data.split_names import first_split, split_of

PICTURE_FOLDERS = frozenset(
    ("images", "image", "imgs", "img", "jpegimages", "pictures", "photos", "frames", "inputs")
)
LABEL_FOLDERS = frozenset(
    ("labels", "label", "annotations", "annotation", "annots", "annot", "xmls", "masks", "mask",
     "segmentation", "segmentations", "segmentationclass", "seg", "gt", "groundtruth",
     "ground_truth", "targets", "labelids")
)  # fmt: skip
LABEL_ENDINGS = ("annot", "_annot", "_labels", "_masks", "_mask", "_gt")  # of `train` and the like


@dataclass(frozen=True)
class Pairs:
    """Label files with their pictures, and what is left over on both sides."""

    pairs: list[tuple[str, str]] = field(default_factory=list)  # picture, label
    lonely_pictures: list[str] = field(default_factory=list)
    lonely_labels: list[str] = field(default_factory=list)
    ambiguous: list[tuple[str, list[str]]] = field(default_factory=list)  # label, its pictures


def key_of(path: str) -> str:
    """What a picture and its label have in common: the path less suffix and telling folders.

    >>> key_of("images/train/7.jpg"), key_of("train/labels/7.txt"), key_of("trainannot/7.png")
    ('train/7', 'train/7', 'train/7')
    """
    folder, name = posixpath.split(path)
    parts = [_plain(part) for part in folder.split("/") if part]
    telling = PICTURE_FOLDERS | LABEL_FOLDERS
    stem = posixpath.splitext(name)[0]
    return "/".join([*(part for part in parts if part.lower() not in telling), stem])


def _plain(part: str) -> str:
    """A folder's name less what says that it holds labels: `trainannot` is `train`."""
    for ending in LABEL_ENDINGS:
        if part.lower().endswith(ending) and split_of(part[: -len(ending)]):
            return part[: -len(ending)]
    return part


def holds_labels(part: str) -> bool:
    """Whether a folder's name says that labels lie in it.

    >>> holds_labels("masks"), holds_labels("valannot"), holds_labels("images")
    (True, True, False)
    """
    return part.lower() in LABEL_FOLDERS or _plain(part) != part


def pair(pictures: Iterable[str], labels: Iterable[str], endings: Iterable[str] = ()) -> Pairs:
    """Each label with the one picture of its key. `endings` may be added to a label's stem.

    Where folders do not agree (a label's folder knows nothing of the pictures'), the stem alone
    decides, if one picture has it.
    """
    by_key: dict[str, list[str]] = {}
    by_stem: dict[str, list[str]] = {}
    for picture in pictures:
        key = key_of(picture)
        by_key.setdefault(key, []).append(picture)
        by_stem.setdefault(posixpath.basename(key), []).append(picture)
    result = Pairs()
    used: set[str] = set()
    for label in labels:
        found = next((f for f in _candidates(label, by_key, by_stem, endings) if f), [])
        if len(found) == 1:
            result.pairs.append((found[0], label))
            used.add(found[0])
        elif found:
            result.ambiguous.append((label, found))
            used.update(found)
        else:
            result.lonely_labels.append(label)
    for same in by_key.values():
        result.lonely_pictures.extend(picture for picture in same if picture not in used)
    return result


def _candidates(
    label: str,
    by_key: dict[str, list[str]],
    by_stem: dict[str, list[str]],
    endings: Iterable[str],
) -> Iterator[list[str]]:
    key = key_of(label)
    keys = [key, *(key[: -len(ending)] for ending in endings if key.endswith(ending))]
    yield from (by_key.get(one, []) for one in keys)
    yield from (by_stem.get(posixpath.basename(one), []) for one in keys)


def split_in(path: str) -> Split | None:
    """The split that a folder of a path names, or None.

    >>> split_in("images/valid/7.jpg"), split_in("trainannot/7.png"), split_in("train.png")
    ('val', 'train', None)
    """
    return first_split(_plain(part) for part in posixpath.dirname(path).split("/"))
