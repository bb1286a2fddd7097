"""`predict` on medical scans: masks in the scans' own geometry, and how large each structure is."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from vitreous.data.listing import printable
from vitreous.data.recognise import recognise
from vitreous.data.samples import Sample
from vitreous.data.volumes.dicom_seg import write_dicom_mask
from vitreous.data.volumes.fingerprint import VolumeFingerprint, volumes_of
from vitreous.data.volumes.reading import Volumes
from vitreous.data.volumes.scans import Scan, holds_volumes, volume_stem
from vitreous.data.volumes.write import Amount, amounts, write_nifti_mask
from vitreous.errors import RequestError, VitreousError, unknown_name
from vitreous.files import read_json, write_text
from vitreous.inference.volumes import likeliest_on
from vitreous.report.scan_pages import ListedScan, scan_page, scans_page
from vitreous.report.scan_shown import VOXELS_OF_A_PAGE, ScanShown, scan_shown
from vitreous.runs.run import Run
from vitreous.runs.score_volumes import answer_together, answering_of, mask_path
from vitreous.runs.talk import OnProgress
from vitreous.runs.volumes import plan_of

UNUSUAL = 4.0  # times as large, or as small, as the median: said
FORMATS = ("csv", "json", "dicom-seg")


@dataclass(frozen=True, eq=False)
class ScanPrediction:
    """What a run finds in one scan, or why it has no answer."""

    sample_id: str
    amounts: tuple[Amount, ...] = ()
    mask: NDArray[np.uint8] | None = None  # (depth, height, width), on the scan's grid, in RAS
    scan: Scan | None = None
    root: Path | None = None  # of the scan's files
    confidence: float | None = None  # mean probability of the voxels in structures
    shown: ScanShown | None = None  # to be looked through, where that was wanted
    remarks: tuple[str, ...] = ()  # why to look twice
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """One object, as `predict --format json` prints it."""
        if self.error is not None:
            return {"sample_id": self.sample_id, "error": self.error}
        structures = {
            one.structure: {"voxels": one.voxels, "mm3": round(one.mm3, 3), "ml": round(one.ml, 6)}
            for one in self.amounts
        }
        return {
            "sample_id": self.sample_id, "structures": structures,
            "confidence": self.confidence, "remarks": list(self.remarks),
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class FoundScan:
    """A scan among inputs, or why there is none."""

    name: str
    sample: Sample | None = None
    volumes: Volumes | None = None
    error: str | None = None


def scans_below(inputs: Iterable[str]) -> Iterator[FoundScan]:
    """Scans in files and folders, in their order, none of them read yet."""
    for text in inputs:
        path = Path(text)
        try:
            if path.exists() and not holds_volumes(path):
                raise RequestError(f"{path}: holds no scan; give a file or a folder of scans")
            source = recognise(path, for_training=False, labels=False)
        except VitreousError as error:
            yield FoundScan(printable(text), error=str(error))
            continue
        for item in source.skipped:
            if not item.harmless:
                yield FoundScan(item.path, error=f"{item.path}: {item.reason}")
        for sample in source.samples:
            yield FoundScan(sample.sample_id, sample, volumes_of(source))


def predict_scans(
    runs: Run | Sequence[Run],
    inputs: Iterable[str],
    device: str | None = None,
    on_progress: OnProgress | None = None,
    *,
    viewed: bool = False,
) -> Iterator[ScanPrediction]:
    """Answers for files and folders of scans, one scan in memory at a time.

    Of several runs, of one plan, the mean of what they say. What cannot be read is an answer whose
    `error` says why. `on_progress(done, of)` counts the planes of the scan that is answered.
    With `viewed` each has what a page shows of it.
    """
    several = [runs] if isinstance(runs, Run) else list(runs)
    members = [answering_of(each, device, each.temperature) for each in several]
    run = several[0]
    plan = plan_of(run.record.data)
    known = usual_ml(run)
    for one in scans_below(inputs):
        if one.error is not None or one.volumes is None or one.sample is None:
            yield ScanPrediction(one.name, error=one.error)
            continue
        try:
            volume = one.volumes.read(one.sample)
            shares, grid = answer_together(members, volume, one.sample.path, plan, on_progress)
        except VitreousError as error:
            yield ScanPrediction(one.name, error=str(error))
            continue
        own, scan = volume.grid, volume if viewed else None
        del volume  # where nobody looks at it, the scan itself is not needed any more
        mask, sure = likeliest_on(shares, grid, own)
        del shares
        found = mask > 0
        confidence = round(float(sure[found].mean()), 6) if found.any() else None
        del sure, found
        shown = None
        if scan is not None:
            shown = scan_shown(
                scan, {"answer": mask}, run.record.classes, most_voxels=VOXELS_OF_A_PAGE,
                modality=one.volumes.modality,
            )  # fmt: skip
            del scan
        amounts_found = tuple(amounts(mask, own, run.record.classes))
        yield ScanPrediction(
            one.name,
            amounts_found,
            mask,
            one.volumes.scans[one.name],
            one.volumes.root,
            confidence,
            shown,
            remarks_on(amounts_found, known),
        )


def usual_ml(run: Run) -> dict[str, float]:
    """The median size of each structure where it was learned, as far as the run keeps it."""
    path = run.folder / "fingerprint.json"
    if not path.is_file():
        return {}
    facts = VolumeFingerprint.from_json(read_json(path), str(path))
    return {one.name: one.median_ml for one in facts.structures if one.median_ml > 0}


def remarks_on(found: Iterable[Amount], usual: Mapping[str, float]) -> tuple[str, ...]:
    """Structures of a size that hardly any scan had that was learned from.

    >>> remarks_on([Amount("liver", 9000, 9000.0)], {"liver": 1.5})[0][:60]
    'liver: 9 ml, where scans that were learned from have 1.5 (me'
    """
    return tuple(
        f"{one.structure}: {one.ml:.3g} ml, where scans that were learned from have "
        f"{usual[one.structure]:.3g} (median): is it the same kind of scan?"
        for one in found
        if one.structure in usual and not 1 / UNUSUAL <= one.ml / usual[one.structure] <= UNUSUAL
    )


def remarks_said(
    predictions: Iterable[ScanPrediction], say: Callable[[str], None]
) -> Iterator[ScanPrediction]:
    """The same predictions; what is remarked on each is said as it comes."""
    for one in predictions:
        for remark in one.remarks:
            say(f"{one.sample_id}: {remark}")
        yield one


def write_scan_folder(
    predictions: Iterable[ScanPrediction], run: Run, folder: Path, file_format: str
) -> tuple[int, int]:
    """A new folder: a mask a scan as NIfTI (or, with `dicom-seg`, DICOM), volumes.csv, and pages.

    The pages show the scans that are there to be looked through (`predict_scans`, `viewed`), a
    file each; index.html lists all. How many scans, and errors. Raises `RequestError` where the
    folder is there already.
    """
    if file_format not in FORMATS:
        raise unknown_name("format", file_format, FORMATS)
    if folder.exists() and any(folder.iterdir()):
        raise RequestError(f"{folder}: is there already; name a new folder with --out")
    folder.mkdir(parents=True, exist_ok=True)
    listed: list[ListedScan] = []

    def written() -> Iterator[ScanPrediction]:
        for one in predictions:
            done = _write_mask(one, run, folder, file_format)
            listed.append(_write_page(done, folder))
            yield done

    with (folder / "volumes.csv").open("w", newline="", encoding="utf-8") as file:
        counts = write_scan_table(written(), file, "csv")
    write_text(folder / "index.html", scans_page(run.record.classes[1:], listed))
    return counts


def _write_page(one: ScanPrediction, folder: Path) -> ListedScan:
    """The page of one scan, where it is to be looked through; its line in the list of all."""
    amounts = {amount.structure: amount.ml for amount in one.amounts}
    if one.error is not None or one.shown is None:
        return ListedScan(one.sample_id, amounts, one.confidence, None, one.error, one.remarks)
    page = f"pages/{volume_stem(one.sample_id)}.html"
    listed = ListedScan(one.sample_id, amounts, one.confidence, page, None, one.remarks)
    write_text(folder / page, scan_page(listed, one.shown))
    return listed


def _write_mask(one: ScanPrediction, run: Run, folder: Path, file_format: str) -> ScanPrediction:
    if one.mask is None or one.scan is None or one.root is None:
        return one
    path = mask_path(folder / "masks", one.sample_id)
    try:
        if file_format == "dicom-seg":
            path = path.with_name(path.name.removesuffix(".nii.gz") + ".dcm")
            write_dicom_mask(path, one.mask, one.scan, one.root, run.record.classes)
        else:
            write_nifti_mask(path, one.mask, one.scan)
    except VitreousError as error:
        return ScanPrediction(one.sample_id, one.amounts, shown=one.shown, error=str(error))
    return one


def write_scan_table(
    predictions: Iterable[ScanPrediction], file: TextIO, file_format: str
) -> tuple[int, int]:
    """A row a scan and structure, or JSON objects; how many scans there were, and errors."""
    count = errors = 0
    if file_format == "json":
        file.write("[")
        for count, one in enumerate(predictions, start=1):
            file.write((",\n " if count > 1 else "\n ") + json.dumps(one.to_json()))
            errors += one.error is not None
        file.write("\n]\n")
        return count, errors
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["sample_id", "structure", "voxels", "mm3", "ml", "confidence", "error"])
    for count, one in enumerate(predictions, start=1):  # noqa: B007
        errors += one.error is not None
        sure = "" if one.confidence is None else f"{one.confidence:.6f}"
        for amount in one.amounts:
            writer.writerow(
                [one.sample_id, amount.structure, amount.voxels, f"{amount.mm3:.6g}",
                 f"{amount.ml:.6g}", sure, one.error or ""]
            )  # fmt: skip
        if not one.amounts:
            writer.writerow([one.sample_id, "", "", "", "", "", one.error or ""])
    return count, errors
