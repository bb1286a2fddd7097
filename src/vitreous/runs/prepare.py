"""From what lies on the disk to what a network can be trained on, everything said aloud."""

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vitreous.data.alignment import Alignment
from vitreous.data.boxes.boxes import Boxes
from vitreous.data.boxes.seen import box_format
from vitreous.data.cache import PixelCache, PixelFormat, choose_format, open_cache
from vitreous.data.checks import classes_of
from vitreous.data.folds import Fold
from vitreous.data.leaks import Duplicate, clusters, find_duplicates
from vitreous.data.masks.store import MaskStore, mask_format, open_mask_store
from vitreous.data.recognise import recognise
from vitreous.data.samples import SPLITS, Sample, Skipped, Source, Split
from vitreous.data.splits import plan_splits
from vitreous.errors import DataError, RequestError
from vitreous.networks import Weights
from vitreous.runs.folders import given_path
from vitreous.runs.record import LISTED_AT_MOST, DataRecord
from vitreous.runs.request import TrainRequest
from vitreous.runs.talk import Talk
from vitreous.runs.trials import (
    Divided,
    TrialStore,
    divide,
    fold_words,
    one_fold,
    pixel_format_of,
    recording_settings,
    trial_store,
    trials_of,
    with_fold,
)
from vitreous.training.processes import Processes

if TYPE_CHECKING:
    from vitreous.runs.volumes import PreparedScans


LETTERBOX_GROWTH = 9 / 7  # of the size that weights were trained on: 224 becomes 288


@dataclass(frozen=True)
class Prepared:
    """A data set, decoded, checked and split."""

    source: Source
    cache: PixelCache | TrialStore
    pixel_format: PixelFormat
    split: tuple[Split | None, ...]  # one a sample; None: not used
    split_how: str
    duplicates: list[Duplicate]
    warnings: tuple[str, ...]
    alignment: Alignment | None = None  # of trials, by this division's training part
    masks: MaskStore | None = None  # where the labels are masks
    scans: "PreparedScans | None" = None  # where they are those of medical scans

    def rows(self, split: Split) -> np.ndarray:
        """Rows of a part, int64."""
        return np.array([row for row, part in enumerate(self.split) if part == split], np.int64)

    def samples(self, rows: np.ndarray) -> list[Sample]:
        """The samples of some rows."""
        return [self.source.samples[row] for row in rows]

    def skipped(self) -> list[Skipped]:
        """All that is not used, found at recognition or at decoding, with its reason."""
        return [
            *self.source.skipped,
            *(
                Skipped(self.source.samples[row].path, reason)
                for row, reason in sorted(self.cache.skipped.items())
            ),
        ]


def prepare(
    data: "Path | Source", request: TrainRequest, talk: Talk, weights: Weights | None = None
) -> Prepared:
    """Recognise, decode (in a size that suits the weights), look for duplicates, split.

    Raises `DataError` when too much of the data cannot be used, or too little is left.
    """
    source = open_source(data, request, talk)
    if source.trials is not None:
        return prepare_trials(source, request, talk)
    if source.volumes is not None:
        from vitreous.runs.volumes import prepare_scans

        return prepare_scans(source, request, talk)
    refuse_places(source)
    request.refuse_for_pictures()
    pixel_format = format_of(source, request, weights)
    cache = decode(source, pixel_format, talk)
    refuse_too_many_skipped(source, cache, request.max_skipped, talk)
    duplicates = look_for_duplicates(source, cache, talk)
    plan = plan_splits(
        source.samples,
        seed=request.seed,
        usable=cache.usable,
        together=clusters(duplicates),
    )
    talk.say(f"split: {plan.how}")
    warnings = [*source.warnings, *plan.warnings, *across_borders(source, cache, plan.split)]
    for warning in warnings:
        talk.warn(warning)
    masks = decode_masks(source, cache, pixel_format, talk)
    return Prepared(source, cache, pixel_format, plan.split, plan.how, duplicates, tuple(warnings),
                    masks=masks)  # fmt: skip


def prepare_trials(source: Source, request: TrainRequest, talk: Talk) -> Prepared:
    """Trials divided for a single run, by the protocol that the data calls for."""
    refuse_too_many_skipped(source, TrialStore(trials_of(source).values, ""), request.max_skipped,
                            talk)  # fmt: skip
    divided = divide(source, request, talk)
    fold = one_fold(divided, talk)
    return prepared_fold(divided, fold)


def prepared_fold(divided: Divided, fold: Fold) -> Prepared:
    """One fold of divided trials, ready to be trained on."""
    return Prepared(
        divided.source,
        with_fold(divided.store, fold),
        pixel_format_of(trials_of(divided.source)),
        fold.split,
        fold_words(divided, fold),
        list(divided.duplicates),
        divided.warnings,
    )


def prepare_together(
    data: "Path | Source",
    request: TrainRequest,
    processes: Processes,
    talk: Talk,
    weights: Weights | None = None,
) -> Prepared:
    """What the first process prepares, for all; one process on each machine decodes.

    Raises `DataError` where a process does not find the same data, beside what `prepare` raises.
    """
    own: list[Prepared] = []

    def made() -> dict[str, Any]:
        own.append(prepare(data, request, talk, weights))
        return _words(own[0])

    words = processes.from_first("prepared", made)
    return processes.one_a_machine_first(
        "decoded", lambda: own[0] if own else _prepared_from(words, data, request, talk)
    )


def _words(prepared: Prepared) -> dict[str, Any]:
    """What of it another process cannot find on the disk by itself."""
    pixel_format = prepared.pixel_format
    return {
        "size": list(pixel_format.size),
        "channels": pixel_format.channels,
        "scale": pixel_format.scale,
        "fingerprint": prepared.cache.fingerprint,
        "split": list(prepared.split),
        "split_how": prepared.split_how,
    }


def _prepared_from(
    words: dict[str, Any], data: "Path | Source", request: TrainRequest, talk: Talk
) -> Prepared:
    source = open_source(data, request, talk)
    pixel_format = PixelFormat(tuple(words["size"]), words["channels"], scale=words["scale"])
    cache = decode(source, pixel_format, talk)
    if cache.fingerprint != words["fingerprint"]:
        raise DataError(
            f"{source.root}: on {platform.node()} these are not the data that the first process "
            "has; let all machines read the same folder"
        )
    masks = decode_masks(source, cache, pixel_format, talk)
    return Prepared(source, cache, pixel_format, tuple(words["split"]), words["split_how"], [], (),
                    masks=masks)  # fmt: skip


def open_source(data: "Path | Source", request: TrainRequest, talk: Talk) -> Source:
    """The data set recognised, or the one that was given, and what it was taken for."""
    if isinstance(data, Source):
        source = data
    else:
        with talk.counting("looking") as looked:
            source = recognise(
                data,
                group=request.group,
                task=request.task,
                label=request.label,
                classes=request.classes,
                ignore=request.ignore,
                max_pixels=request.max_pixels,
                recordings=recording_settings(request),
                slices=request.slices,
                on_progress=looked,
            )
    talk.say(f"{source.root}: {source.kind}: {source.why}")
    return source


def refuse_places(source: Source) -> None:
    """Raises `RequestError` for whole scans: read and checked, but not yet learned from."""
    if source.volumes is not None:
        raise RequestError(
            f"{source.root}: {source.kind}: training on whole scans is not there yet; "
            "--slices axial trains on their slices"
        )


def format_of(source: Source, request: TrainRequest, weights: Weights | None = None) -> PixelFormat:
    """Size and channels in which pictures are kept: as asked for, or as the pictures suggest.

    For trained weights at most 9/7 of the size that they were trained on, and not under half of
    it: their kernels know things of that size, and a letterbox shows things smaller than the cut of
    the middle that they were trained with (docs/decisions/0008-trained-weights.md).
    """
    if source.label_kind == "mask":
        return mask_format(source, request.image_size)
    if source.label_kind == "boxes":
        return box_format(source, request.image_size)
    if weights is None or weights.size is None:
        chosen = choose_format(source)
    else:
        largest = 32 * round(LETTERBOX_GROWTH * max(weights.size) / 32)
        chosen = _enlarged(choose_format(source, largest=largest), weights.size)
    if request.image_size is None:
        return chosen
    size = (request.image_size, request.image_size)
    return PixelFormat(size, chosen.channels, "asked for by --image-size")


def _enlarged(chosen: PixelFormat, trained_on: tuple[int, int]) -> PixelFormat:
    factor = max(trained_on) / 2 / max(chosen.size)
    if factor <= 1:
        return chosen
    height, width = (max(8, 8 * round(side * factor / 8)) for side in chosen.size)
    why = f"{chosen.why}; enlarged to {height}x{width}, as the weights know larger pictures"
    return PixelFormat((height, width), chosen.channels, why)


def decode(source: Source, pixel_format: PixelFormat, talk: Talk) -> PixelCache | TrialStore:
    """The decoded pictures, from the cache when they are there; or the trials, which are there."""
    if source.trials is not None:
        return trial_store(source)
    with talk.counting("decoding") as decoded:
        return open_cache(source, pixel_format, on_progress=decoded)


def decode_masks(
    source: Source, cache: PixelCache | TrialStore, pixel_format: PixelFormat, talk: Talk
) -> MaskStore | None:
    """Pictures and masks at the network's scale; None where the labels are no masks."""
    if source.label_kind != "mask" or not isinstance(cache, PixelCache):
        return None
    with talk.counting("reading masks") as read:
        return open_mask_store(source, cache, pixel_format, on_progress=read)


def refuse_too_many_skipped(
    source: Source, cache: PixelCache | TrialStore, max_skipped: float, talk: Talk
) -> None:
    """Say what is skipped; stop when it is a larger share than was allowed."""
    unread = [item for item in source.skipped if not item.harmless]
    skipped = unread + [
        Skipped(source.samples[row].path, reason) for row, reason in cache.skipped.items()
    ]
    if not skipped:
        return
    if source.trials is None:
        total = len(source.samples) + len(unread)
        share = len(skipped) / total
        said = f"{len(skipped)} of {total} files cannot be used ({share:.1%})"
    else:
        said, share = _unusable_trials(source.samples, skipped)
    examples = "; ".join(f"{item.path}: {item.reason}" for item in skipped[:3])
    if share > max_skipped:
        raise DataError(
            f"{source.root}: {said}, more than --max-skipped {max_skipped:g}: {examples}; "
            "see `vitreous inspect`, mend the files, or allow more with --max-skipped"
        )
    talk.warn(f"{said} and are listed in split.csv: {examples}")


def _unusable_trials(samples: Sequence[Sample], skipped: Sequence[Skipped]) -> tuple[str, float]:
    """How many recordings and trials are lost, in words, and their share of all trials.

    A recording that cannot be read counts as many trials as the others have on average.
    """
    of_trials = [item for item in skipped if "#" in item.path]
    read = len({sample.path for sample in samples} | {i.path.split("#")[0] for i in of_trials})
    lost, trials = len(skipped) - len(of_trials), len(samples) + len(of_trials)
    share = (len(of_trials) + lost * trials / read) / (trials + lost * trials / read)
    recordings = f"{lost} of {read + lost} recordings and " if lost else ""
    said = f"{recordings}{len(of_trials)} of {trials} trials cannot be used ({share:.1%})"
    return said, share


def look_for_duplicates(
    source: Source, cache: PixelCache | TrialStore, talk: Talk
) -> list[Duplicate]:
    """Equal and nearly equal pictures among all that can be used."""
    with talk.counting("looking for duplicates") as looked:
        found = find_duplicates(cache.pixels, np.flatnonzero(cache.usable), on_progress=looked)
    if found:
        exact = sum(item.exact for item in found)
        first = found[0]
        talk.say(
            f"duplicates: {exact} equal and {len(found) - exact} nearly equal pairs of pictures, "
            f"such as {source.samples[first.first].path} and {source.samples[first.second].path}"
        )
    return found


def across_borders(
    source: Source, cache: PixelCache | TrialStore, split: tuple[Split | None, ...]
) -> list[str]:
    """A warning for duplicates on two sides of a split that the data itself gives."""
    if all(sample.split is None for sample in source.samples):
        return []  # the split was made here, with duplicates on one side
    sides = np.array([str(part) for part in split])
    leaks = find_duplicates(cache.pixels, np.flatnonzero(cache.usable), across=sides)
    if not leaks:
        return []
    borders = Counter(
        "/".join(sorted((str(split[item.first]), str(split[item.second])))) for item in leaks
    )
    said = ", ".join(f"{count} across {border}" for border, count in borders.most_common())
    first = leaks[0]
    return [
        f"the given split leaks: {len(leaks)} pairs of equal or nearly equal pictures lie on two "
        f"sides ({said}), such as {source.samples[first.first].path} and "
        f"{source.samples[first.second].path}; scores on such pictures are flattered"
    ]


def data_record(prepared: Prepared, request: TrainRequest, given: "Path | Source") -> DataRecord:
    """The data's part of run.json."""
    source, skipped = prepared.source, prepared.skipped()
    return DataRecord(
        given=str(given_path(given)),
        root=str(source.root),
        recognised_as=source.kind,
        why=source.why,
        fingerprint=prepared.cache.fingerprint,
        label_kind=source.label_kind,
        split_how=prepared.split_how,
        group=request.group,
        counts={
            **{split: _counts(prepared, split) for split in SPLITS},
            "skipped": len(skipped),
        },
        skipped=[asdict(item) for item in skipped[:LISTED_AT_MOST]],
        duplicates=_duplicates_record(source, prepared.duplicates),
        pixel_format={
            "height": prepared.pixel_format.size[0],
            "width": prepared.pixel_format.size[1],
            "channels": prepared.pixel_format.channels,
            **_scale_record(prepared.pixel_format),
        },
        warnings=list(prepared.warnings),
        volumes=None if prepared.scans is None else prepared.scans.to_json(),
        trials=_trials_record(prepared, request),
    )


def _trials_record(prepared: Prepared, request: TrainRequest) -> dict[str, Any] | None:
    trials, alignment = prepared.source.trials, prepared.alignment
    if trials is None or alignment is None:
        return None if trials is None else trials.format_json()
    said = {"kind": request.align, "saw_test": alignment.saw_test, "words": alignment.words}
    return trials.format_json() | {"alignment": said}


def _scale_record(pixel_format: PixelFormat) -> dict[str, float]:
    return {} if pixel_format.scale is None else {"scale": pixel_format.scale}


def _counts(prepared: Prepared, split: Split) -> Any:
    """Samples (or boxes) of each class, or how many there are where labels are numbers."""
    labels = [sample.label for sample in prepared.samples(prepared.rows(split))]
    if prepared.source.label_kind == "number":
        return len(labels)
    classes = prepared.source.classes
    if prepared.source.label_kind == "boxes":
        boxes = Counter(
            int(place) for label in labels if isinstance(label, Boxes) for place in label.classes
        )
        return {name: boxes[place] for place, name in enumerate(classes)}
    found = Counter(name for label in labels for name in classes_of(label, classes))
    return {name: found[name] for name in prepared.source.classes}


def _duplicates_record(source: Source, duplicates: list[Duplicate]) -> dict[str, Any]:
    exact = sum(item.exact for item in duplicates)
    return {
        "exact": exact,
        "near": len(duplicates) - exact,
        "pairs": [
            {
                "first": source.samples[item.first].sample_id,
                "second": source.samples[item.second].sample_id,
                "similarity": round(float(item.similarity), 4),
                "exact": bool(item.exact),
            }
            for item in duplicates[:LISTED_AT_MOST]
        ],
    }
