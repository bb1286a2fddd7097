"""Slices of scans as pictures, each with its patient: for networks in two dimensions."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitreous.data.pictures import reason_of
from vitreous.data.samples import Label, LabelKind, Picture, Sample, Skipped, Source
from vitreous.data.volumes.fingerprint import volumes_of
from vitreous.data.volumes.reading import Volumes
from vitreous.data.volumes.sheet import AXIS, PLANES, plane, plane_spacing, windowed
from vitreous.errors import DataError, RequestError, unknown_name

HELD = 4  # scans kept in memory while their slices are read one after the other
WINDOW = (0.5, 99.5)  # percentiles of a scan that become black and white
SQUARE = 0.02  # pixels further from square are stretched


def slices_of(source: Source, name: str, label: str | None, task: str | None) -> Source:
    """A source of pictures from one of scans: every slice along a plane.

    Scans with masks give each slice the structures that are in it (several classes), or with
    `label`, a structure's name, whether that one is in it. Scans with a class pass it on to their
    slices. Slices of a patient, or of a scan where no patient is known, stay together.
    Raises `RequestError` for an unknown plane or structure, `DataError` where nothing is left.
    """
    volumes = volumes_of(source)
    if name not in PLANES:
        raise unknown_name("plane", name, PLANES)
    if source.label_kind == "mask":
        label_kind, classes, labels_in = _by_structures(source, volumes, name, label)
    else:
        if label is not None and source.label_kind == "none":
            raise RequestError(f"--label '{label}': {source.root}: these scans have no masks")
        label_kind, classes = source.label_kind, source.classes
        labels_in = lambda sample, count: [sample.label] * count  # noqa: E731
    fits = {"class": "classify", "classes": "classify-multilabel", "number": "regress"}
    if task is not None and task != fits.get(label_kind):
        raise RequestError(f"--task {task} does not fit slices with {label_kind}")
    samples: list[Sample] = []
    skipped: list[Skipped] = list(source.skipped)
    for scan in source.samples:
        count = volumes.grid(scan.sample_id).shape[AXIS[name]]
        try:
            labels = labels_in(scan, count)
        except DataError as error:
            skipped.append(Skipped(scan.path, reason_of(error, scan.path)))
            continue
        samples += _slices(scan, labels)
    if not samples:
        raise DataError(f"{source.root}: no slice is left; `vitreous inspect` says why")
    what = "slices" if label is None else f"slices, with or without '{label}'"
    return replace(
        source,
        kind=f"{name} slices of {source.kind}",
        why=f"{source.why}; {len(samples):,} {name} {what}, each scan's on one side",
        label_kind=label_kind,
        classes=classes,
        samples=tuple(samples),
        skipped=tuple(skipped),
        read=_slice_reader(source, volumes, name),
        read_mask=None,
        volumes=None,
        decoding=f"{name} slices, {WINDOW[0]} to {WINDOW[1]} %",
    )


Labels = Callable[[Sample, int], Sequence[Label]]


def _by_structures(
    source: Source, volumes: Volumes, name: str, label: str | None
) -> tuple[LabelKind, tuple[str, ...], Labels]:
    structures = source.classes[1:]
    if label is not None and label not in structures:
        raise unknown_name("structure", label, structures)
    across = tuple(axis for axis in range(3) if axis != AXIS[name])

    def present(sample: Sample) -> NDArray[np.bool_]:
        mask = volumes.read_label(sample)
        found = [(mask == place).any(axis=across) for place in range(1, len(source.classes))]
        return np.stack(found, axis=1)  # (slices, structures)

    if label is not None:
        place, without = structures.index(label), f"no {label}"

        def one(sample: Sample, count: int) -> list[Label]:
            del count
            return [label if there else without for there in present(sample)[:, place]]

        return "class", (without, label), one

    def several(sample: Sample, count: int) -> list[Label]:
        del count
        return [
            tuple(s for s, there in zip(structures, row, strict=True) if there)
            for row in present(sample)
        ]

    return "classes", structures, several


def _slices(scan: Sample, labels: Sequence[Label]) -> list[Sample]:
    group = scan.group or scan.sample_id
    return [
        Sample(f"{scan.sample_id}#{index}", scan.path, label, scan.split, group, index)
        for index, label in enumerate(labels)
    ]


def _slice_reader(
    source: Source, volumes: Volumes, name: str
) -> Callable[[Sample, int | None], Picture]:
    """The `Source.read` of slices: grey pictures, windowed by their scan's own values."""
    scans = {scan.sample_id: scan for scan in source.samples}
    held: OrderedDict[str, tuple[NDArray[np.uint8], tuple[float, float]]] = OrderedDict()
    lock = Lock()

    def scan_of(key: str) -> tuple[NDArray[np.uint8], tuple[float, float]]:
        with lock:
            if key in held:
                held.move_to_end(key)
                return held[key]
            volume = volumes.read(scans[key])
            low, high = (float(x) for x in np.percentile(volume.values[0], WINDOW))
            found = windowed(volume.values[0], (low, high)), plane_spacing(volume.spacing_mm, name)
            held[key] = found
            while len(held) > HELD:
                held.popitem(last=False)
            return found

    def read(sample: Sample, minimum_side: int | None = None) -> Picture:
        del minimum_side
        assert sample.index is not None
        values, (row_mm, column_mm) = scan_of(sample.sample_id.rpartition("#")[0])
        picture = np.ascontiguousarray(plane(values, name, sample.index))
        if abs(row_mm / column_mm - 1) > SQUARE:
            finest = min(row_mm, column_mm)
            height = max(1, round(picture.shape[0] * row_mm / finest))
            width = max(1, round(picture.shape[1] * column_mm / finest))
            image = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
            picture = np.asarray(image)
        return Picture(picture[..., None], (picture.shape[0], picture.shape[1]))

    return read
