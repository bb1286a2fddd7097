"""Masks that a network answers with, judged: the test part once, and later data."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from vitreous.data.cache import open_cache
from vitreous.data.geometry import place_mask, resize
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.masks.store import MaskStore, open_mask_store
from vitreous.data.samples import Sample, Source
from vitreous.data.sheet import class_colours, covered
from vitreous.data.threads import map_in_order
from vitreous.data.transforms import Scaling
from vitreous.data.windows import WholePicture
from vitreous.errors import DataError
from vitreous.evaluation.calibration import fit_temperature
from vitreous.evaluation.evaluate_masks import (
    ConfidenceBins,
    evaluate_masks,
    pixel_calibration,
)
from vitreous.evaluation.evaluation import WHOLE, Evaluation
from vitreous.evaluation.mask_comparison import MaskComparison, compare_masks
from vitreous.evaluation.place_baselines import PixelLogistic, pixel_logistic
from vitreous.inference import Compute, Views
from vitreous.inference.dense import logit_slabs
from vitreous.report.extras import Drawn, picture_bytes
from vitreous.runs.evaluate import (
    default_name,
    keep_scores,
    likeness_warning,
    opened,
    overlap_warning,
)
from vitreous.runs.mask_files import mask_path, write_areas, write_mask
from vitreous.runs.prepare import Prepared, refuse_too_many_skipped
from vitreous.runs.run import Run
from vitreous.runs.seen import seen_warnings
from vitreous.runs.talk import OnProgress, Talk
from vitreous.tasks import Task
from vitreous.training.devices import serving_compute
from vitreous.training.loop import Training

COMPARERS = 2  # threads that measure borders while the network computes
CALIBRATED_ON = 200_000  # validation pixels at most
BASELINE_PICTURES = 60  # training pictures that the pixel-wise baseline is fitted on


@dataclass(frozen=True)
class Scored:
    """What a run writes of its test part: its scores, and pictures with their truth and answer."""

    evaluation: Evaluation
    calibration: dict[str, Any]  # fitted on the validation part, for run.json
    drawn: tuple[Drawn, ...]


@dataclass(frozen=True)
class Labelled:
    """Pictures with masks to be answered and judged: some rows of a source."""

    source: Source
    store: MaskStore
    rows: np.ndarray

    @property
    def samples(self) -> list[Sample]:
        """The samples of the rows."""
        return [self.source.samples[row] for row in self.rows]

    def truth(self, row: int) -> np.ndarray:
        """The mask in the picture's own size, uint8 (height, width)."""
        sample = self.source.samples[row]
        assert self.source.read_mask is not None
        return self.source.read_mask(sample)


@dataclass
class Judged:
    """What is found of each picture, in the order of the rows."""

    comparisons: list[MaskComparison] = field(default_factory=list)
    before: ConfidenceBins = field(default_factory=ConfidenceBins)
    after: ConfidenceBins = field(default_factory=ConfidenceBins)


def score_mask_test(run: Run, prepared: Prepared, training: Training, talk: Talk) -> Scored:
    """Answer the test part once; write predictions.csv and masks/; the scores beside a baseline."""
    assert prepared.masks is not None
    scaling, compute = training.data.scaling, training.compute
    assert isinstance(scaling, Scaling)
    mirrored = mirrored_in(training.recipe.views)
    test = Labelled(prepared.source, prepared.masks, prepared.rows("test"))
    validation = replace(test, rows=prepared.rows("val"))
    network = training.network
    temperature = pixel_temperature(
        network, validation, scaling, compute, mirrored, run.record.seed
    )
    talk.say(f"scoring {len(test.rows):,} test pictures, once")
    with talk.counting("scoring") as scored:
        judged = judge(
            network, test, run.task, scaling, compute, mirrored, temperature,
            folder=run.folder / "masks", on_progress=scored,
        )  # fmt: skip
    write_areas(run.folder / "predictions.csv", test.samples, run.task.classes, judged.comparisons)
    baseline = fitted_baseline(prepared, run.record.seed)
    with talk.counting("baseline") as compared:
        baselines = {baseline.name: baseline_comparisons(baseline, test, run.task, compared)}
    evaluation = evaluation_of(judged, test, run, temperature, baselines)
    drawn = drawn_pictures(test, evaluation, run.folder / "masks", run.task.classes)
    return Scored(evaluation, {"temperature": temperature}, drawn)


def evaluation_of(
    judged: Judged,
    pictures: Labelled,
    run: Run,
    temperature: float,
    baselines: dict[str, list[MaskComparison]] | None,
    name: str = "test",
    split: str = "test",
) -> Evaluation:
    """The scores of judged pictures."""
    groups = [sample.group for sample in pictures.samples]
    return evaluate_masks(
        judged.comparisons,
        classes=run.record.classes,
        sample_ids=[sample.sample_id for sample in pictures.samples],
        groups=groups if any(group is not None for group in groups) else None,
        baselines=baselines,
        calibration=pixel_calibration(temperature, judged.before, judged.after),
        name=name,
        split=split,
        seed=run.record.seed,
    )


def evaluate_masks_on(
    run: Run,
    data: str | Path | Source,
    *,
    name: str | None,
    group: str | None,
    max_skipped: float,
    device: str | None,
    talk: Talk,
) -> dict[str, Any]:
    """A run's answers to labelled data judged, and written to evaluation-NAME.json.

    Raises `DataError` where the masks' classes are not the run's.
    """
    source = opened(run, data, group, talk)
    source = with_classes_of(run, source)
    cache = open_cache(source, run.pixel_format)
    refuse_too_many_skipped(source, cache, max_skipped, talk)
    store = open_mask_store(source, cache, run.pixel_format)
    pictures = Labelled(source, store, np.flatnonzero(cache.usable))
    compute = serving_compute(run.record.compute, device)
    called = name or default_name(data)
    assert isinstance(run.scaling, Scaling)
    with talk.counting("scoring") as scored:
        judged = judge(
            compute.place(run.network), pictures, run.task, run.scaling, compute,
            mirrored_in(run.views), run.temperature,
            folder=run.folder / f"masks-{called}", on_progress=scored,
        )  # fmt: skip
    evaluation = evaluation_of(judged, pictures, run, run.temperature, None, called, WHOLE)
    warnings = [
        *overlap_warning(run, data),
        *likeness_warning(run, cache.pixels, pictures.rows),
        *seen_warnings(run, pictures.samples),
    ]
    for warning in warnings:
        talk.warn(warning)
    evaluation = replace(evaluation, warnings=(*warnings, *evaluation.warnings))
    write_areas(
        run.folder / f"predictions-{called}.csv", pictures.samples, run.task.classes,
        judged.comparisons,
    )  # fmt: skip
    return keep_scores(run, evaluation, called, talk)


def with_classes_of(run: Run, source: Source) -> Source:
    """The source with the run's classes in the run's order. Raises `DataError` for unknown ones."""
    known = tuple(run.record.classes)
    if source.label_kind != "mask" or source.read_mask is None:
        raise DataError(
            f"{source.root}: its labels are of the kind '{source.label_kind}', the run's are masks"
        )
    if source.classes == known:
        return source
    unknown = [name for name in source.classes if name not in known]
    if unknown:
        raise DataError(
            f"{source.root}: class {', '.join(unknown)} is unknown to {run.folder}, "
            f"which knows {', '.join(known)}"
        )
    table = np.full(256, IGNORE, np.uint8)
    for place, name in enumerate(source.classes):
        table[place] = known.index(name)
    read = source.read_mask
    return replace(
        source,
        classes=known,
        read_mask=lambda sample: table[read(sample)],
        why=f"{source.why}; numbered as the run's",
    )


def mirrored_in(views: Views) -> tuple[int, ...]:
    """The axes of space whose mirror images are averaged in: 0 up and down, 1 left and right."""
    return tuple(axis for axis, so in enumerate((views.upside_down, views.mirrored)) if so)


def judge(
    network: nn.Module,
    pictures: Labelled,
    task: Task,
    scaling: Scaling,
    compute: Compute,
    mirrored: Sequence[int],
    temperature: float,
    *,
    folder: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Judged:
    """Each picture answered and compared with its truth, in the picture's own size.

    Answers are written to `folder` as index PNG. The confidence is judged at the network's scale.
    """
    judged = Judged()

    def answered() -> Iterator[tuple[int, np.ndarray]]:
        for row in map(int, pictures.rows):
            answer = _answer(
                network, pictures, row, scaling, compute, mirrored, temperature, judged
            )
            yield row, answer

    def compare(found: tuple[int, np.ndarray]) -> MaskComparison:
        row, answer = found
        truth = pictures.truth(row)
        answer = in_size(answer, (truth.shape[0], truth.shape[1]))
        if folder is not None:
            write_mask(mask_path(folder, pictures.source.samples[row].sample_id), answer, task)
        return compare_masks(truth, answer, task.outputs)

    for done, comparison in enumerate(map_in_order(compare, answered(), COMPARERS), start=1):
        judged.comparisons.append(comparison)
        if on_progress is not None:
            on_progress(done, len(pictures.rows))
    return judged


def _answer(
    network: nn.Module,
    pictures: Labelled,
    row: int,
    scaling: Scaling,
    compute: Compute,
    mirrored: Sequence[int],
    temperature: float,
    judged: Judged,
) -> np.ndarray:
    """The answer at the network's scale; what it says of its own doubt is counted."""
    picture = WholePicture(pictures.store.pictures[row])
    truth = pictures.store.masks[row]
    answer = np.zeros(picture.size, np.uint8)
    for rows, logits in logit_slabs(network, picture, scaling, compute, mirrored_axes=mirrored):
        answer[rows] = logits.argmax(dim=0).to(torch.uint8).numpy()
        for bins, divisor in ((judged.before, 1.0), (judged.after, temperature)):
            confidence = torch.softmax(logits / divisor, dim=0).amax(dim=0).numpy()
            bins.add(confidence, answer[rows], truth[rows])
    return answer


def in_size(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask in another size: each pixel takes the class that lies there."""
    own = (mask.shape[0], mask.shape[1])
    return mask if own == size else place_mask(resize(own, size), mask)


def pixel_temperature(
    network: nn.Module,
    validation: Labelled,
    scaling: Scaling,
    compute: Compute,
    mirrored: Sequence[int],
    seed: int,
) -> float:
    """What calibrates the probabilities of pixels, fitted on as many of each validation picture."""
    random = np.random.default_rng(seed)
    each = max(1, CALIBRATED_ON // max(1, len(validation.rows)))
    logits_seen, truth_seen = [], []
    for row in map(int, validation.rows):
        picture = WholePicture(validation.store.pictures[row])
        truth = validation.store.masks[row].ravel()
        chosen = np.sort(random.permutation(np.flatnonzero(truth != IGNORE))[:each])
        width = picture.size[1]
        for rows, logits in logit_slabs(network, picture, scaling, compute, mirrored_axes=mirrored):
            within = chosen[(chosen >= rows.start * width) & (chosen < rows.stop * width)]
            flat = logits.flatten(1)[:, torch.from_numpy(within - rows.start * width)]
            logits_seen.append(flat.T.numpy())
            truth_seen.append(truth[within].astype(np.int64))
    if not sum(map(len, truth_seen)):
        return 1.0
    return fit_temperature(
        np.concatenate(logits_seen).astype(np.float64), np.concatenate(truth_seen)
    )


def fitted_baseline(prepared: Prepared, seed: int) -> PixelLogistic:
    """The pixel-wise baseline, fitted on an even spread of training pictures."""
    store, train = prepared.masks, prepared.rows("train")
    assert store is not None
    chosen = train[np.linspace(0, len(train) - 1, min(BASELINE_PICTURES, len(train))).astype(int)]
    pictures = [_upright_channels(store.pictures[int(row)]) for row in chosen]
    return pixel_logistic(pictures, [store.masks[int(row)] for row in chosen], seed=seed)


def baseline_comparisons(
    baseline: PixelLogistic, pictures: Labelled, task: Task, on_progress: OnProgress | None
) -> list[MaskComparison]:
    """The baseline's answers to the same pictures; their pixels alone are compared."""

    def compare(row: int) -> MaskComparison:
        truth = pictures.truth(row)
        answer = baseline.answer(_upright_channels(pictures.store.pictures[row]))
        answer = in_size(answer, (truth.shape[0], truth.shape[1]))
        return compare_masks(truth, answer, task.outputs, borders=False)

    rows = [int(row) for row in pictures.rows]
    found = []
    for done, comparison in enumerate(map_in_order(compare, rows, COMPARERS), start=1):
        found.append(comparison)
        if on_progress is not None:
            on_progress(done, len(rows))
    return found


def _upright_channels(pixels: np.ndarray) -> np.ndarray:
    """(channels, height, width) as (height, width, channels)."""
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def drawn_pictures(
    pictures: Labelled, evaluation: Evaluation, folder: Path, classes: Sequence[str]
) -> tuple[Drawn, ...]:
    """The best and worst pictures with their truth and answer laid over them."""
    row_of = {self.sample_id: int(row) for self, row in zip(pictures.samples, pictures.rows,
                                                           strict=True)}  # fmt: skip
    colours = class_colours(len(classes))
    drawn = []
    for one in evaluation.pictures:
        row = row_of[one.sample_id]
        pixels = pictures.store.pictures[row]
        image = Image.fromarray(_upright_channels(pixels).repeat(3 if len(pixels) == 1 else 1, 2))
        truth = pictures.store.masks[row]
        answer = np.asarray(Image.open(mask_path(folder, one.sample_id)))
        answer = in_size(answer, (truth.shape[0], truth.shape[1]))
        drawn.append(
            Drawn(
                one.sample_id,
                one.kind,
                f"Dice {one.dice:.3f}, {100 * one.accuracy:.1f} % of the pixels right",
                f"weakest: {one.weakest}, {one.weakest_dice:.3f}",
                picture_bytes(pixels),
                _over(image, truth, colours),
                _over(image, answer, colours),
            )
        )
    return tuple(drawn)


def _over(image: Image.Image, mask: np.ndarray, colours: Sequence[Any]) -> bytes:
    return picture_bytes(np.asarray(covered(image, mask, colours)).transpose(2, 0, 1))
