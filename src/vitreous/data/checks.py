"""What no training can make good: checked before any picture is decoded."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.samples import Label, Sample, Source
from vitreous.errors import DataError


def check_for_training(source: Source) -> Source:
    """The source with what is odd added to its warnings.

    Raises `DataError` where nothing could be learned or measured: no pictures, one class, a class
    with one picture, a class in val or test that train does not have.
    """
    check_not_empty(source)
    if source.label_kind == "class":
        _check_classes(source)
    elif source.label_kind == "classes":
        _check_several_classes(source)
    elif source.label_kind == "number":
        _check_numbers(source)
    elif source.label_kind in ("boxes", "mask"):
        _check_places(source)
    warnings = (*source.warnings, *_odd_splits(source))
    return replace(source, warnings=warnings)


def check_not_empty(source: Source) -> None:
    """Raises `DataError` with the first reasons why nothing is left."""
    if source.samples:
        return
    harmful = [skipped for skipped in source.skipped if not skipped.harmless]
    some = "; ".join(f"{s.path}: {s.reason}" for s in (harmful or source.skipped)[:3])
    raise DataError(
        f"{source.root}: no usable picture ({source.kind}; {len(source.skipped):,} skipped"
        + (f": {some})" if some else ")")
    )


def _check_classes(source: Source) -> None:
    counts = Counter(str(sample.label) for sample in source.samples)
    _check_split_labels(source, {s: {str(x.label) for x in part} for s, part in _parts(source)})
    if len(counts) == 1:
        (only,) = counts
        raise DataError(
            f"{source.root}: only one class, '{only}' ({len(source.samples):,} pictures); "
            "at least two are needed, one folder or label each"
        )
    alone = sorted(name for name, count in counts.items() if count == 1)
    if alone:
        sample = next(sample for sample in source.samples if sample.label == alone[0])
        others = f" (and {len(alone) - 1:,} other classes)" if len(alone) > 1 else ""
        near = get_close_matches(alone[0], sorted(set(counts) - {alone[0]}), n=1, cutoff=0.75)
        hint = f"is it '{near[0]}' mistyped? " if near else ""
        raise DataError(
            f"{source.root / sample.path}: is the only picture of class '{alone[0]}'{others}; "
            f"{hint}One to learn from and one to test on are needed: add pictures, or remove it"
        )


def _check_several_classes(source: Source) -> None:
    classes = {name for sample in source.samples for name in _several(sample)}
    if not classes:
        raise DataError(f"{source.root}: all labels are empty; at least one class is needed")
    _check_split_labels(
        source, {s: {name for x in part for name in _several(x)} for s, part in _parts(source)}
    )


def _check_numbers(source: Source) -> None:
    values = {sample.label for sample in source.samples}
    if len(values) == 1:
        raise DataError(
            f"{source.root}: all labels are the number {values.pop()}; nothing to learn from"
        )


def _check_places(source: Source) -> None:
    if not any(classes_of(sample.label, source.classes) for sample in source.samples):
        raise DataError(f"{source.root}: nothing is labelled on any picture; nothing to learn from")
    train = [sample for split, part in _parts(source) if split == "train" for sample in part]
    if train and not any(classes_of(sample.label, source.classes) for sample in train):
        raise DataError(f"{source.root}: nothing is labelled in train; nothing to learn from")


def classes_of(label: Label, classes: tuple[str, ...]) -> set[str]:
    """The classes that a sample has, whatever kind of label it is."""
    if isinstance(label, Boxes):
        return {classes[place] for place in label.classes}
    if isinstance(label, MaskLabel):
        return {classes[place] for place in label.present}
    if isinstance(label, str):
        return {label}
    return set(label) if isinstance(label, tuple) else set()


def _several(sample: Sample) -> tuple[str, ...]:
    return sample.label if isinstance(sample.label, tuple) else ()


def _parts(source: Source) -> Iterator[tuple[str, list[Sample]]]:
    for split in ("train", "val", "test"):
        part = [sample for sample in source.samples if sample.split == split]
        if part:
            yield split, part


def _check_split_labels(source: Source, labels: dict[str, set[str]]) -> None:
    """A class to be tested that train never shows is a mistyped name more often than not."""
    known = labels.get("train")
    if known is None:
        return
    for split in ("val", "test"):
        for name in sorted(labels.get(split, set()) - known):
            samples = [s for s in source.samples if s.split == split and _has(s, name)]
            near = get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'? " if near else ""
            raise DataError(
                f"{source.root / samples[0].path}: class '{name}' ({len(samples):,} pictures) is "
                f"not in train; {hint}Train has: {_some(sorted(known))}"
            )


def _has(sample: Sample, name: str) -> bool:
    return name == sample.label or name in _several(sample)


def _some(names: list[str], most: int = 12) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _odd_splits(source: Source) -> Iterator[str]:
    """Classes of train that are never tested; of boxes and masks also those never learned."""
    if source.label_kind not in ("class", "boxes", "mask"):
        return
    labels = {
        split: {name for s in part for name in classes_of(s.label, source.classes)}
        for split, part in _parts(source)
    }
    for split in ("val", "test") if "train" in labels else ():
        for name in sorted(labels.get(split, set()) - labels["train"]):
            near = get_close_matches(name, sorted(labels["train"]), n=1, cutoff=0.5)
            hint = f"; is it '{near[0]}', mistyped?" if near else ""
            yield f"class '{name}' is in {split} but not in train: it cannot be learned{hint}"
    for split in ("val", "test"):
        missing = sorted(labels.get("train", set()) - labels.get(split, set()))
        if split in labels and missing:
            yield f"{split} has no picture of {_some(missing)}"
