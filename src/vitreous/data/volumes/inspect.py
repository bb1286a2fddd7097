"""What a data set of scans is, what is wrong with it, and what `train` would do with it."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vitreous.data.inspect import LISTED_IN_JSON, reasons
from vitreous.data.listing import printable
from vitreous.data.masks.mask_label import MaskLabel
from vitreous.data.samples import SPLITS, Sample, Skipped, Source
from vitreous.data.volumes.fingerprint import VolumeFingerprint, fingerprint_volumes
from vitreous.data.volumes.plan import DEFAULT_MEMORY, VolumePlan
from vitreous.data.volumes.whole import plan_for_scans
from vitreous.errors import VitreousError

READ_AT_MOST = 200  # scans, unless all are wanted
DIFFERENT = 1.05  # spacings that differ by more are worth a word
FEW_PATIENTS = 10


@dataclass(frozen=True)
class VolumeInspection:
    """All that `vitreous inspect` shows of scans. Made by `inspect_volumes`."""

    root: str
    kind: str
    why: str
    label_kind: str
    classes: tuple[str, ...]
    counts: dict[str, dict[str, int]]  # given split, or "all" -> class -> scans that have it
    patients: int | None
    read: int  # how many scans were really read
    fingerprint: VolumeFingerprint
    skipped: tuple[Skipped, ...]
    findings: tuple[str, ...]
    split: dict[str, int]  # what train would use
    split_how: str
    plan: VolumePlan | None
    error: str | None  # why train would stop

    def to_json(self) -> dict[str, Any]:
        """Plain values; of very many skipped files the first 1,000."""
        result = asdict(self)
        result["skipped_reasons"] = reasons(self.skipped)
        result["skipped"] = [asdict(item) for item in self.skipped[:LISTED_IN_JSON]]
        result["fingerprint"] = self.fingerprint.to_json()
        return result


def inspect_volumes(
    source: Source,
    *,
    everything: bool = False,
    memory: str | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> VolumeInspection:
    """Look at a source of scans: every scan is read whole, of very many an even spread.

    Raises `DataError` where none can be read.
    """
    samples = source.samples
    if everything or len(samples) <= READ_AT_MOST:
        fingerprint, read = fingerprint_volumes(source, on_progress=on_progress), len(samples)
    else:
        rows = sorted({int(row) for row in np.linspace(0, len(samples) - 1, READ_AT_MOST)})
        some = [samples[row] for row in rows]
        fingerprint = fingerprint_volumes(source, samples=some, on_progress=on_progress)
        read = len(some)
    unread = [Skipped(name, reason) for name, reason in fingerprint.unreadable.items()]
    skipped = (*source.skipped, *unread)
    plan = split = None
    split_how, error = "", None
    try:
        split, split_how = _split(source, fingerprint)
        if source.label_kind != "none":
            plan = plan_for_scans(source, fingerprint, memory or DEFAULT_MEMORY)
    except VitreousError as problem:
        error = str(problem)
    if source.label_kind == "none":
        error = "the scans have no labels: nothing to learn from"
    patients = {sample.group for sample in samples if sample.group is not None}
    return VolumeInspection(
        root=printable(str(source.root)),
        kind=source.kind,
        why=source.why,
        label_kind=source.label_kind,
        classes=source.classes,
        counts=_counts(source),
        patients=len(patients) or None,
        read=read,
        fingerprint=fingerprint,
        skipped=skipped,
        findings=tuple(_findings(source, fingerprint, skipped, len(patients))),
        split=split or {},
        split_how=split_how,
        plan=plan,
        error=error,
    )


def _split(source: Source, fingerprint: VolumeFingerprint) -> tuple[dict[str, int], str]:
    from vitreous.data.splits import plan_splits

    if source.label_kind == "none":
        return {}, ""
    usable = np.array([s.sample_id not in fingerprint.unreadable for s in source.samples])
    plan = plan_splits(
        source.samples, seed=0, usable=usable, stratify=source.label_kind in ("class", "mask")
    )
    counts = Counter(part for part in plan.split if part is not None)
    return {part: counts[part] for part in SPLITS}, plan.how


def _counts(source: Source) -> dict[str, dict[str, int]]:
    """Scans that have each class, by the given part."""
    found: dict[str, dict[str, int]] = {}
    for split in (*SPLITS, None):
        part = [sample for sample in source.samples if sample.split == split]
        if part:
            found[split or "all"] = _of_part(source, part)
    return found


def _of_part(source: Source, part: list[Sample]) -> dict[str, int]:
    if source.label_kind in ("number", "none"):
        return {"scans": len(part)}
    counts: Counter[str] = Counter()
    for sample in part:
        if isinstance(sample.label, MaskLabel):
            counts.update(source.classes[place] for place in sample.label.present)
        elif isinstance(sample.label, tuple):
            counts.update(sample.label)
        else:
            counts[str(sample.label)] += 1
    return {name: counts[name] for name in source.classes}


def _findings(
    source: Source,
    fingerprint: VolumeFingerprint,
    skipped: tuple[Skipped, ...],
    patients: int,
) -> Iterator[str]:
    yield from source.warnings
    harmful = sum(not item.harmless for item in skipped)
    if harmful:
        total = len(source.samples) + harmful - len(fingerprint.unreadable)
        yield f"{harmful:,} of {total:,} scans cannot be used ({harmful / total:.1%})"
    for scan in fingerprint.scans:
        for finding in scan.findings:
            yield f"{scan.sample_id}: {finding}"
    spacings = np.array([scan.spacing_mm for scan in fingerprint.scans])
    if (spacings.max(axis=0) > DIFFERENT * spacings.min(axis=0)).any():
        low, high = (
            " x ".join(f"{mm:.3g}" for mm in e) for e in (spacings.min(0), spacings.max(0))
        )
        yield f"spacings differ ({low} to {high} mm): scans are brought to one"
    yield from _label_findings(source)
    if source.label_kind != "none" and not patients and len(source.samples) > 1:
        yield (
            "nothing says which scans are of one patient: each counts as a patient of its own; "
            r"where that is wrong, give a pattern for the paths, such as --group '(patient\d+)'"
        )
    if 0 < patients < FEW_PATIENTS:
        yield f"only {patients} patients: scores will be uncertain, however many scans there are"


def _label_findings(source: Source) -> Iterator[str]:
    labels = [(s.path, s.label) for s in source.samples if isinstance(s.label, MaskLabel)]
    if not labels:
        return
    empty = [path for path, label in labels if not label.pixels[1:].any()]
    if empty:
        yield f"{len(empty):,} labels show nothing but '{source.classes[0]}', such as {empty[0]}"
    total = np.sum([label.pixels for _, label in labels], axis=0)
    if never := [source.classes[place] for place in np.flatnonzero(total == 0)]:
        yield f"no voxel of {', '.join(never[:8])}: such classes cannot be learned"
