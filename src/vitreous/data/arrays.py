"""Arrays: .npz files, the user's own arrays, and PyTorch data sets."""

import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from vitreous.data.labels import Labels, labels_from_array
from vitreous.data.pictures import upright_picture
from vitreous.data.samples import SPLITS, Picture, Sample, Source, Split
from vitreous.data.split_names import first_split, settle_splits, split_of
from vitreous.data.stacks import array_from_stream, make_stack, map_file
from vitreous.data.tables import HEADINGS
from vitreous.errors import DataError, RequestError

PIXEL_NAMES = {"x", "image", "images", "img", "imgs", "data", "pixels", "pictures"}
LABEL_NAMES = {"y", "label", "labels", "target", "targets", "class"}
CLASS_NAMES = {"classes", "class_names", "label_names", "names"}
GROUP_NAMES = {*HEADINGS["group"], *(f"{name}s" for name in HEADINGS["group"])}


@dataclass(frozen=True)
class Part:
    """The arrays that belong together: one split of an .npz file, or all of it."""

    split: Split | None
    pixels_name: str
    labels_name: str
    groups_name: str | None


def from_arrays(
    pixels: Any,
    labels: Any,
    split: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    task: str | None = None,
) -> Source:
    """A data set from arrays in memory (NumPy, or what `np.asarray` takes, such as CPU tensors).

    `pixels` (n, height, width), (n, height, width, c) or (n, c, height, width) with 1, 3 or 4
    channels; whole numbers 0..255 or numbers 0..1. `labels` (n,) classes as numbers or text, or
    numbers to predict with `task="regress"`; (n, classes) of 0 and 1 for several classes each.
    `split` (n,) train, val or test; `groups` (n,) patients or the like; `classes` names by number.
    Raises `DataError` for anything else.

    >>> import numpy as np
    >>> source = from_arrays(np.zeros((4, 8, 8), np.uint8), ["ant", "bee", "ant", "bee"])
    >>> source.classes, source.read(source.samples[0], None).pixels.shape
    (('ant', 'bee'), (8, 8, 1))
    """
    stack = make_stack(np.asarray(pixels), "pixels")
    found = labels_from_array(np.asarray(labels), classes, task, "labels")
    use, meaning = _given(split)
    count = len(stack.pixels)
    _require_length("labels", len(found.values), count)
    _require_length("split", len(split) if split is not None else count, count)
    _require_length("groups", len(groups) if groups is not None else count, count)
    samples = tuple(
        Sample(
            sample_id=f"arrays#{index}",
            path="arrays",
            label=found.values[index],
            split=use[str(split[index])] if split is not None else None,
            group=None if groups is None else str(groups[index]),
            index=index,
        )
        for index in range(count)
    )
    return Source(
        root=Path(),
        kind="arrays",
        why=f"arrays in memory: {count:,} pictures, {stack.meaning}; {meaning}",
        label_kind=found.kind,
        classes=found.classes,
        samples=samples,
        skipped=(),
        files=(),
        read=lambda sample, minimum_side=None: stack.picture(_index(sample)),  # noqa: ARG005
    )


def from_dataset(
    dataset: Any, classes: Sequence[str] | None = None, task: str | None = None
) -> Source:
    """A map-style `torch.utils.data.Dataset` whose items are (picture, label).

    A picture is a PIL image, an array (height, width[, c]) or a tensor (c, height, width), of
    0..255 or 0..1. It must come without random augmentation and normalisation, which belong to
    the training. Labels are taken from `dataset.targets` where there is one label an item (as
    torchvision has), else every item is fetched once to learn its label. Class names come from
    `classes` or `dataset.classes`.
    """
    count = len(dataset)
    targets = getattr(dataset, "targets", None)
    if targets is None or len(targets) != count:
        targets = [_pair(dataset, index)[1] for index in range(count)]
    names = classes if classes is not None else getattr(dataset, "classes", None)
    where = type(dataset).__name__
    found = labels_from_array(np.asarray(targets), names, task, f"{where}: labels")

    def read(sample: Sample, minimum_side: int | None = None) -> Picture:  # noqa: ARG001
        return _as_picture(_pair(dataset, _index(sample))[0], sample.sample_id)

    return Source(
        root=Path(),
        kind="dataset",
        why=f"a {where} of {count:,} (picture, label) pairs; no split is given",
        label_kind=found.kind,
        classes=found.classes,
        samples=tuple(
            Sample(f"{where}#{index}", where, label, index=index)
            for index, label in enumerate(found.values)
        ),
        skipped=(),
        files=(),
        read=read,
    )


def read_npz(
    path: Path,
    root: Path,
    *,
    group: str | None = None,
    task: str | None = None,
    label: str | None = None,
) -> Source:
    """An .npz file: `x_train`/`y_train`..., `train_images`/`train_labels`..., or `X`/`y`.

    Arrays are looked at where they lie if the file is not compressed, and unpacked once if it is.
    Nothing in it can run code: Python objects are refused. Raises `DataError`.
    """
    names = _array_names(path)
    parts = _parts(names, str(path), group, label)
    use, meaning = settle_splits({part.split for part in parts if part.split}, str(path))
    listed = next((name for name in names if name.lower() in CLASS_NAMES), None)
    class_names = None if listed is None else [str(n) for n in _load(path, listed).tolist()]
    shown = path.relative_to(root).as_posix()
    stacks = {}
    lengths = []
    for part in parts:
        where = f"{shown}/{part.pixels_name}"
        stacks[where] = make_stack(_load(path, part.pixels_name), f"{path}/{part.pixels_name}")
        lengths.append(len(stacks[where].pixels))
    labels = _labels_of(path, parts, lengths, class_names, task)
    places = [(f"{shown}/{p.pixels_name}", i, p) for p, n in zip(parts, lengths, strict=True)
              for i in range(n)]  # fmt: skip
    groups = _groups_of(path, parts, lengths)
    samples = tuple(
        Sample(
            sample_id=f"{place}#{index}",
            path=place,
            label=value,
            split=use[part.split] if part.split else None,
            group=grouped,
            index=index,
        )
        for (place, index, part), value, grouped in zip(places, labels.values, groups, strict=True)
    )
    pairs = ", ".join(f"{part.pixels_name} with {part.labels_name}" for part in parts)
    pixel_meaning = next(iter(stacks.values())).meaning
    return Source(
        root=root,
        kind="npz arrays",
        why=f"{path.name} holds {pairs} ({sum(lengths):,} pictures, {pixel_meaning}); {meaning}",
        label_kind=labels.kind,
        classes=labels.classes,
        samples=samples,
        skipped=(),
        files=(path,),
        read=lambda sample, minimum_side=None: (  # noqa: ARG005
            stacks[sample.path].picture(_index(sample))
        ),
    )


def _given(split: Sequence[str] | None) -> tuple[Mapping[str, Split | None], str]:
    if split is None:
        return {}, "no split is given"
    words: dict[str, Split] = {}
    for word in sorted({str(word) for word in split}):
        part = split_of(word)
        if part is None:
            raise DataError(f"split: '{word}' is neither train, val nor test")
        words[word] = part
    use, meaning = settle_splits(words.values(), "split")
    return {word: use[part] for word, part in words.items()}, meaning


def _require_length(name: str, length: int, count: int) -> None:
    if length != count:
        raise DataError(f"{name}: {length} for {count} pictures; one each is needed")


def _index(sample: Sample) -> int:
    if sample.index is None:
        raise DataError(f"{sample.sample_id}: has no place in an array")
    return sample.index


def _pair(dataset: Any, index: int) -> tuple[Any, Any]:
    try:
        item = dataset[index]
        picture, label = item
    except (TypeError, ValueError) as error:
        raise DataError(f"item {index}: not a pair (picture, label) ({error})") from None
    return picture, label


def _as_picture(picture: Any, name: str) -> Picture:
    if isinstance(picture, Image.Image):
        return upright_picture(picture, name)
    pixels = np.asarray(picture)
    return make_stack(pixels[None], name).picture(0)


def _array_names(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n.removesuffix(".npy") for n in archive.namelist() if n.endswith(".npy")]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: not readable as .npz: truncated or damaged ({error})") from None
    return names


def _parts(names: list[str], where: str, group: str | None, label: str | None) -> list[Part]:
    """Pairs of pixels and labels, train first. Raises `DataError` with what the file has."""
    roles = {name: _role(name, group, label) for name in names}
    if group and "groups" not in {role for role, _ in roles.values()}:
        raise RequestError(f"{where}: no array '{group}' for groups; has {', '.join(names)}")
    parts = []
    for split in (*SPLITS, None):
        by_role = {role: name for name, (role, part) in roles.items() if part == split}
        if "pixels" in by_role and "labels" in by_role:
            named = by_role["pixels"], by_role["labels"], by_role.get("groups")
            parts.append(Part(split, *named))
    if not parts or (len(parts) > 1 and parts[-1].split is None):
        raise DataError(
            f"{where}: has the arrays {', '.join(names) or '(none)'}; "
            "x_train with y_train, train_images with train_labels, or X with y are understood"
        )
    return parts


def _role(name: str, group: str | None, label: str | None) -> tuple[str | None, Split | None]:
    """What an array's name says: 'val_images' are the pixels of val."""
    tokens = name.lower().replace("-", "_").split("_")
    split = first_split(tokens)
    rest = "_".join(token for token in tokens if not split_of(token))
    wanted_labels = {label.lower()} if label else LABEL_NAMES
    if rest in wanted_labels or name == label:
        return "labels", split
    wanted_groups = GROUP_NAMES if group is None else {group.lower()}  # an empty name: none
    if rest and (rest in wanted_groups or name == group):
        return "groups", split
    return ("pixels" if rest in PIXEL_NAMES else None), split


def _labels_of(
    path: Path, parts: list[Part], lengths: list[int], names: list[str] | None, task: str | None
) -> Labels:
    arrays = []
    for part, length in zip(parts, lengths, strict=True):
        array = _load(path, part.labels_name)
        if array.ndim == 0 or len(array) != length:
            raise DataError(
                f"{path}: {part.pixels_name} has {length:,} pictures, but {part.labels_name} "
                f"{len(array) if array.ndim else 1:,} labels"
            )
        arrays.append(array)
    try:
        joined = np.concatenate(arrays)
    except ValueError as error:
        raise DataError(f"{path}: labels of the parts do not fit together ({error})") from None
    return labels_from_array(joined, names, task, f"{path}: {parts[0].labels_name}")


def _groups_of(path: Path, parts: list[Part], lengths: list[int]) -> Iterator[str | None]:
    for part, length in zip(parts, lengths, strict=True):
        if part.groups_name is None:
            yield from [None] * length
            continue
        array = _load(path, part.groups_name)
        if array.shape != (length,):
            raise DataError(f"{path}: {part.groups_name} has shape {array.shape}, not ({length},)")
        yield from (str(value) for value in array.tolist())


def _load(path: Path, name: str) -> np.ndarray:
    """One array of an .npz file: mapped where it is stored plainly, else unpacked."""
    where = f"{path}/{name}"
    try:
        with zipfile.ZipFile(path) as archive:
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as member:
                shape, fortran, dtype = _header(member)
                if dtype.hasobject:
                    raise DataError(
                        f"{where}: holds Python objects, which can run code; save plain numbers"
                    )
                ordered = shape[::-1] if fortran else shape
                if info.compress_type == zipfile.ZIP_STORED and dtype.kind not in "US":
                    offset = _data_offset(path, info) + member.tell()
                    array = map_file(path, dtype, offset, ordered)
                else:
                    array = array_from_stream(member, dtype, ordered, where)
    except (zipfile.BadZipFile, zlib.error, ValueError, OSError, EOFError) as error:
        raise DataError(f"{where}: not readable: truncated or damaged ({error})") from None
    return array.T if fortran else array


def _header(member: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(member)
    return np.lib.format.read_array_header_2_0(member)


def _data_offset(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes start: the local header has lengths of its own (APPNOTE 4.3.7)."""
    with path.open("rb") as file:
        file.seek(info.header_offset + 26)
        name_length = int.from_bytes(file.read(2), "little")
        extra_length = int.from_bytes(file.read(2), "little")
    return info.header_offset + 30 + name_length + extra_length
