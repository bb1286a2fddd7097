"""Masks of scans that a network answers with, judged on the scans' own grids."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.samples import Sample, Source
from vitreous.data.volumes.fingerprint import volumes_of
from vitreous.data.volumes.grid import Grid
from vitreous.data.volumes.plan import VolumePlan
from vitreous.data.volumes.reading import Volumes
from vitreous.data.volumes.scans import volume_stem
from vitreous.data.volumes.sheet import point_of_interest, three_planes
from vitreous.data.volumes.store import VolumeStore, as_planned
from vitreous.data.volumes.volume import Volume
from vitreous.data.volumes.write import write_nifti_mask
from vitreous.errors import RequestError
from vitreous.evaluation.atlas import Atlas, fit_atlas
from vitreous.evaluation.calibration import fit_temperature
from vitreous.evaluation.evaluate_masks import ConfidenceBins, pixel_calibration
from vitreous.evaluation.evaluate_volumes import evaluate_volumes
from vitreous.evaluation.evaluation import WHOLE, Evaluation
from vitreous.evaluation.volumes import VolumeComparison, compare_volumes
from vitreous.files import write_text
from vitreous.inference import Compute
from vitreous.inference.volumes import likeliest_on, tempered, volume_probabilities
from vitreous.report.extras import Drawn, picture_bytes
from vitreous.report.scan_shown import scan_shown
from vitreous.runs.evaluate import default_name, keep_scores, opened, overlap_warning
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.score_masks import Scored, with_classes_of
from vitreous.runs.seen import seen_warnings
from vitreous.runs.talk import OnProgress, Talk
from vitreous.runs.volumes import plan_of, scans_of
from vitreous.training.devices import serving_compute
from vitreous.training.loop import Training
from vitreous.training.volume_batches import total_stride

CALIBRATED_ON = 200_000  # validation voxels at most
LEAST = 1e-6  # of a probability whose logarithm is taken


def score_scan_test(run: Run, prepared: Prepared, training: Training, talk: Talk) -> Scored:
    """Answer the test part once; write predictions.csv and masks/; the scores beside an atlas."""
    scans = scans_of(prepared)
    volumes = volumes_of(prepared.source)
    network, compute = training.network, training.compute
    temperature = voxel_temperature(
        network, scans.store, prepared.rows("val"), scans.plan, compute, run.record.seed
    )
    test = prepared.samples(prepared.rows("test"))
    talk.say(f"scoring {len(test):,} test scans, once")
    answering = Answering(network, compute, 1.0)  # what it says is calibrated by the judge
    judge = Judge(run, prepared.source, [answering], scans.plan, temperature)
    with talk.counting("scoring") as scored:
        judge.all(test, run.folder / "masks", scored)
    write_amounts(run.folder / "predictions.csv", test, run.record.classes, judge.comparisons)
    atlas = fit_atlas(
        (np.asarray(scans.store[int(row)].mask) for row in prepared.rows("train")),
        len(run.record.classes),
    )
    baselines = {"atlas of the training masks": atlas_comparisons(atlas, volumes, test)}
    evaluation = judge.evaluation(test, baselines)
    return Scored(evaluation, {"temperature": temperature}, tuple(judge.drawn(test, evaluation)))


class Judge:
    """Scans answered one after the other, and what is found of each."""

    def __init__(
        self,
        run: Run,
        source: Source,
        members: "Sequence[Answering]",
        plan: VolumePlan,
        temperature: float,
    ):
        """`members` answer together; `temperature` calibrates what they say."""
        self.run, self.source, self.members = run, source, members
        self.volumes = volumes_of(source)
        self.plan, self.temperature = plan, temperature
        self.comparisons: list[VolumeComparison] = []
        self.confusion = np.zeros((len(run.record.classes),) * 2, np.int64)
        self.before, self.after = ConfidenceBins(), ConfidenceBins()  # calibrating

    def all(
        self, samples: Sequence[Sample], folder: Path | None, on_progress: OnProgress | None
    ) -> None:
        """Answer and compare all samples; masks are written to `folder` as NIfTI."""

        classes = len(self.run.record.classes)
        for done, sample in enumerate(samples, start=1):
            volume = self.volumes.read(sample)
            truth = self.truth(sample)
            shares, grid = self.answer(volume, sample.path)
            answer, sure = likeliest_on(shares, grid, volume.grid)
            self.before.add(sure, answer, truth)
            answer, sure = likeliest_on(tempered(shares, self.temperature), grid, volume.grid)
            self.after.add(sure, answer, truth)
            self.comparisons.append(compare_volumes(truth, answer, classes, volume.spacing_mm))
            valid = truth != IGNORE
            pairs = truth[valid].astype(np.int64) * classes + answer[valid]
            self.confusion += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
            if folder is not None:
                scan = self.volumes.scans[sample.sample_id]
                write_nifti_mask(mask_path(folder, sample.sample_id), answer, scan)
            if on_progress:
                on_progress(done, len(samples))

    def truth(self, sample: Sample) -> NDArray[np.uint8]:
        """The true classes, numbered as the run's."""
        assert self.source.read_mask is not None
        return self.source.read_mask(sample)

    def answer(self, volume: Volume, name: str) -> tuple[NDArray[np.float16], Grid]:
        """Probabilities on the plan's grid, not yet calibrated."""
        return answer_together(self.members, volume, name, self.plan)

    def evaluation(
        self,
        samples: Sequence[Sample],
        baselines: dict[str, list[VolumeComparison]] | None,
        name: str = "test",
        split: str = "test",
    ) -> Evaluation:
        """The scores of what was answered."""
        groups = [sample.group for sample in samples]

        return evaluate_volumes(
            self.comparisons,
            classes=self.run.record.classes,
            sample_ids=[sample.sample_id for sample in samples],
            groups=groups if any(group is not None for group in groups) else None,
            baselines=baselines,
            confusion=self.confusion,
            calibration=pixel_calibration(self.temperature, self.before, self.after),
            name=name,
            split=split,
            seed=self.run.record.seed,
        )

    def drawn(self, samples: Sequence[Sample], evaluation: Evaluation) -> Iterator[Drawn]:
        """The best and worst scans in three planes, with their truth and the answer."""
        by_id = {sample.sample_id: sample for sample in samples}
        classes = len(self.run.record.classes)
        for one in evaluation.pictures:
            sample = by_id[one.sample_id]
            volume = self.volumes.read(sample)
            truth = self.truth(sample)
            shares, grid = self.answer(volume, sample.path)
            answer, _ = likeliest_on(tempered(shares, self.temperature), grid, volume.grid)
            point = point_of_interest(truth, truth.shape)
            pictures = [
                np.asarray(three_planes(volume, mask, classes, point)).transpose(2, 0, 1)
                for mask in (None, truth, answer)
            ]
            yield Drawn(
                one.sample_id,
                one.kind,
                f"Dice {one.dice:.3f}, {100 * one.accuracy:.1f} % of the voxels right",
                f"weakest: {one.weakest}, {one.weakest_dice:.3f}",
                *(picture_bytes(picture) for picture in pictures),
                scan=scan_shown(
                    volume, {"truth": truth, "answer": answer}, self.run.record.classes,
                    modality=self.volumes.modality,
                ),
            )  # fmt: skip


@dataclass(frozen=True)
class Answering:
    """A network that answers, placed where its compute path has it; its temperature calibrates."""

    network: nn.Module
    compute: Compute
    temperature: float


def answering_of(run: Run, device: str | None, temperature: float) -> Answering:
    """A run's network on its own compute path, as far as that is there."""
    compute = serving_compute(run.record.compute, device)
    return Answering(compute.place(run.network), compute, temperature)


def answer_together(
    members: Sequence[Answering],
    volume: Volume,
    name: str,
    plan: VolumePlan,
    on_progress: OnProgress | None = None,
) -> tuple[NDArray[np.float16], Grid]:
    """The mean of what networks say, each calibrated by itself, on the plan's grid (the second).

    One of them is in memory at a time besides the sum.
    """
    values, grid = as_planned(volume, plan, name)
    total: NDArray[np.float16] | None = None
    for number, member in enumerate(members):

        def told(done: int, of: int, before: int = number) -> None:
            if on_progress:
                on_progress(before * of + done, len(members) * of)

        shares = volume_probabilities(
            member.network, values, plan.patch, total_stride(plan), member.compute,
            mirrored_axes=plan.mirrored_axes, on_progress=told,
        )  # fmt: skip
        shares = tempered(shares, member.temperature)
        if total is None:
            total = shares
        else:
            total += shares
    if total is None:
        raise RequestError("no network to answer with; name a run")
    return total if len(members) == 1 else total / np.float16(len(members)), grid


def voxel_temperature(
    network: nn.Module,
    store: VolumeStore,
    rows: np.ndarray,
    plan: VolumePlan,
    compute: Compute,
    seed: int,
) -> float:
    """What calibrates the probabilities of voxels, fitted on as many of each validation scan."""
    random = np.random.default_rng(seed)
    each = max(1, CALIBRATED_ON // max(1, len(rows)))
    logits_seen, truth_seen = [], []
    for row in map(int, rows):
        scan = store[row]
        truth = np.asarray(scan.mask).ravel()
        shares = volume_probabilities(
            network, np.asarray(scan.values), plan.patch, total_stride(plan), compute,
            mirrored_axes=plan.mirrored_axes,
        )  # fmt: skip
        chosen = random.permutation(np.flatnonzero(truth != IGNORE))[:each]
        picked = shares.reshape(len(shares), -1)[:, chosen].T.astype(np.float64)
        logits_seen.append(np.log(np.maximum(picked, LEAST)))
        truth_seen.append(truth[chosen].astype(np.int64))
    if not sum(map(len, truth_seen)):
        return 1.0
    return fit_temperature(np.concatenate(logits_seen), np.concatenate(truth_seen))


def atlas_comparisons(
    atlas: Atlas, volumes: Volumes, samples: Sequence[Sample]
) -> list[VolumeComparison]:
    """What the atlas answers to the same scans."""
    found = []
    for sample in samples:
        truth = volumes.read_label(sample)
        spacing = volumes.grid(sample.sample_id).spacing_mm
        found.append(compare_volumes(truth, atlas.answer(truth.shape), atlas.classes, spacing))
    return found


def mask_path(folder: Path, sample_id: str) -> Path:
    """Where a scan's answered mask lies."""
    return folder / f"{volume_stem(sample_id)}.nii.gz"


def write_amounts(
    path: Path,
    samples: Sequence[Sample],
    classes: Sequence[str],
    comparisons: Sequence[VolumeComparison],
) -> None:
    """predictions.csv: a row a scan and structure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["sample_id", "class", "true_ml", "ml", "dice", "surface_dice", "hausdorff95_mm"]
    )
    for sample, found in zip(samples, comparisons, strict=True):
        for place, name in enumerate(classes):
            if place == 0:
                continue
            numbers = (
                found.true_ml[place], found.answered_ml[place], found.dice[place],
                found.surface_dice[place], found.hausdorff95[place],
            )  # fmt: skip
            cells = ["" if np.isnan(number) else f"{number:.6g}" for number in numbers]
            writer.writerow([sample.sample_id, name, *cells])
    write_text(path, text.getvalue())


def evaluate_scans_on(
    run: Run,
    data: str | Path | Source,
    *,
    name: str | None,
    group: str | None,
    max_skipped: float,
    device: str | None,
    talk: Talk,
    together: Sequence[Run] = (),
) -> dict[str, Any]:
    """A run's answers to labelled scans judged, and written to evaluation-NAME.json.

    With `together` those of several runs, each calibrated by itself; then `run` says where all is
    written, and which classes there are.
    Raises `DataError` where a scan cannot be read or has classes that are not the run's.
    """
    del max_skipped  # what cannot be read stops it: scans are few
    source = opened(run, data, group, talk)
    source = with_classes_of(run, source)
    members = [answering_of(one, device, one.temperature) for one in together]
    members = members or [answering_of(run, device, 1.0)]
    temperature = 1.0 if together else run.temperature
    judge = Judge(run, source, members, plan_of(run.record.data), temperature)
    called = name or default_name(data)
    with talk.counting("scoring") as scored:
        judge.all(source.samples, run.folder / f"masks-{called}", scored)
    evaluation = judge.evaluation(source.samples, None, called, WHOLE)
    warnings = [*overlap_warning(run, data), *seen_warnings(run, source.samples)]
    for warning in warnings:
        talk.warn(warning)
    evaluation = replace(evaluation, warnings=(*warnings, *evaluation.warnings))
    write_amounts(
        run.folder / f"predictions-{called}.csv", source.samples, run.record.classes,
        judge.comparisons,
    )  # fmt: skip
    return keep_scores(run, evaluation, called, talk)
