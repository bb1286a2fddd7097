"""Trials of recordings on their way into a run: settings, store, protocol, one division."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

import numpy as np

from vitreous.data.cache import PixelFormat, default_cache_folder
from vitreous.data.fingerprint import fingerprint
from vitreous.data.folds import Fold, usual_folds
from vitreous.data.leaks import Duplicate
from vitreous.data.preprocessing import Preprocessing
from vitreous.data.protocols import (
    AcrossSubjects,
    Dataset,
    Protocol,
    choose_protocol,
    subjects_of_rarest_label,
)
from vitreous.data.recordings import RecordingSettings, TrialFormat, Trials
from vitreous.data.recordings.settings import band_hz
from vitreous.data.samples import Source
from vitreous.data.trial_copies import equal_trials, partners
from vitreous.errors import DataError, RequestError
from vitreous.runs.record import DataRecord
from vitreous.runs.request import TrainRequest
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk

ONE_DIVISION = 5  # a single run tests one of so many groups or blocks


@dataclass(frozen=True)
class TrialStore:
    """Trials in memory, with what a `PixelCache` has: row i is sample i."""

    pixels: np.ndarray  # float32 (n, 1, channels, time)
    fingerprint: str
    skipped: dict[int, str] = field(default_factory=dict)  # row -> why a division leaves it out

    @property
    def usable(self) -> np.ndarray:
        """Bool (n,)."""
        usable = np.ones(len(self.pixels), bool)
        usable[list(self.skipped)] = False
        return usable


@dataclass(frozen=True)
class Divided:
    """Trials with their protocol, its folds, and what was found about them."""

    source: Source
    store: TrialStore
    protocol: Protocol
    folds: tuple[Fold, ...]
    duplicates: tuple[Duplicate, ...]
    how: str
    warnings: tuple[str, ...]


def recording_settings(request: TrainRequest) -> RecordingSettings:
    """How trials are cut, from the flags of `train` (and `inspect`)."""
    low, high = band_hz(request.band)
    return RecordingSettings(
        events=request.events,
        window=request.window,
        label=request.label,
        subject=request.group,
        only=request.only,
        channels=request.channels,
        sampling_rate_hz=request.sampling_rate,
        chain=Preprocessing(
            request.reference,
            request.notch,
            low,
            high,
            request.resample,
            request.moving_standardisation,
        ),
        usual_band=request.band is None,
        task=request.task,
    )


def settings_of_run(record_data: DataRecord, request: TrainRequest) -> RecordingSettings:
    """How trials are cut to be like those of a run, from what it recorded of them."""
    made = trial_format(record_data)
    chain = Preprocessing.from_json(made["preprocessing"])
    window = (made["window_s"][0], made["window_s"][1])
    samples = record_data.pixel_format["width"]
    rate = made["sampling_rate_hz"]
    reference = made.get("reference_channels")
    reference = None if reference is None else tuple(reference)
    return replace(
        recording_settings(request),
        sampling_rate_hz=request.sampling_rate or rate,
        window=None,
        only=None,
        channels=None,
        chain=chain,
        usual_band=False,
        like=TrialFormat(tuple(made["channels"]), rate, samples, window, reference),
        for_training=False,
    )


def trial_format(record_data: DataRecord) -> dict[str, Any]:
    """What run.json says of its trials. Raises `DataError` where it does not."""
    if record_data.trials is None:
        raise DataError("run.json: says nothing of trials; train again")
    return record_data.trials


def trial_axes(run: Run) -> dict[str, Any]:
    """What the network sees of a trial in one pass: channels by name, sampling_rate_hz, window_s,
    the values' unit ("V", or "" where they have none), and the mean and std (a number a channel) by
    which they were scaled.
    """
    made = trial_format(run.record.data)
    first, last = made["window_s"]
    rate, piece = made["sampling_rate_hz"], run.views.crop_samples
    if piece:
        first += run.views.start_of_one(run.pixel_format.size[1]) / rate
        last = first + piece / rate
    mixed = bool(made.get("alignment"))  # channels are sums of several then, and no volts
    return {
        "channels": made["channels"],
        "sampling_rate_hz": rate,
        "window_s": [first, last],
        "unit": "" if mixed else made.get("unit", ""),
        "mean": list(run.scaling.mean),
        "std": list(run.scaling.std),
    }


def trials_of(source: Source) -> Trials:
    """The source's trials. Raises `RequestError` where it has pictures."""
    if source.trials is None:
        raise RequestError(f"{source.root}: holds pictures; recordings are needed here")
    return source.trials


def trial_store(source: Source) -> TrialStore:
    """The trials of a source as networks take them, and the key of the data set.

    The key goes by the files' bytes and by how they were cut, whoever asked for it; of arrays by
    their values.
    """
    trials = trials_of(source)
    pixels = trials.values[:, None]
    chain = trials.preprocessing.at_rate(trials.sampling_rate_hz)
    key = blake2b(f"{chain} {trials.window_s} {trials.channels}".encode(), digest_size=16)
    if set(trials.reference_channels) - set(trials.channels):  # what is kept by others is unlike
        key.update(f"reference {trials.reference_channels}".encode())
    key.update("\0".join(f"{s.sample_id} {s.label}" for s in source.samples).encode())
    if source.files:
        files = [path for path in source.files if path.is_file()]
        inside = [
            part for path in source.files if path.is_dir() for part in sorted(path.rglob("*"))
        ]
        every = (*files, *(part for part in inside if part.is_file()))
        key.update(fingerprint(replace(source, files=every), default_cache_folder()).encode())
    else:
        key.update(np.ascontiguousarray(trials.values).tobytes())
    return TrialStore(pixels, key.hexdigest())


def pixel_format_of(trials: Trials) -> PixelFormat:
    """One map of (recorded channels, samples)."""
    channels, samples = trials.values.shape[1:]
    why = f"{channels} channels, {samples} samples at {trials.sampling_rate_hz:g} Hz"
    return PixelFormat((channels, samples), 1, why)


def divide(
    source: Source, request: TrainRequest, talk: Talk, store: TrialStore | None = None
) -> Divided:
    """Look for equal trials, choose the protocol and make its folds; everything is said."""
    trials = trials_of(source)
    duplicates = equal_trials(trials.values)
    data = Dataset(source.samples, trials.facts, partners(duplicates), trials.of_subjects)
    protocol, why = choose_protocol(
        data,
        request.protocol,
        request.folds,
        accept_subject_leak=request.accept_subject_leak,
        seed=request.seed,
    )
    study = asks_for_study(request)
    if not study and isinstance(protocol, AcrossSubjects):  # one run: a test part of about a fifth
        protocol = AcrossSubjects(_groups_for_one(data), request.seed)
    folds = usual_folds(protocol, data, request.seed)
    how = f"{protocol.words if study else protocol.words_of_one} ({why})"
    warnings = [*source.warnings, *_copies_said(source, duplicates)]
    if protocol.name == "given" and trials.of_subjects:
        warnings.append("the same subjects are in train and test, accepted by the user: scores "
                        "measure who it is, not only what was asked")  # fmt: skip
    talk.say(f"protocol: {how}")
    for warning in warnings:
        talk.warn(warning)
    return Divided(
        source, store or trial_store(source), protocol, tuple(folds), tuple(duplicates), how,
        tuple(warnings),
    )  # fmt: skip


def _groups_for_one(data: Dataset) -> int:
    """Groups of subjects of which a single run tests one; with subjects of each label in each.

    Of subjects' numbers two in each: those of one alone do not vary.
    """
    most = len(set(data.subjects))
    if data.of_subjects:
        most = max(2, subjects_of_rarest_label(data) if data.of_classes else most // 2)
    return min(ONE_DIVISION, most)


def asks_for_study(request: TrainRequest) -> bool:
    """Whether several runs are wanted: a protocol, folds, or more than one seed was named."""
    return request.protocol is not None or request.folds is not None or request.seeds > 1


def one_fold(divided: Divided, talk: Talk) -> Fold:
    """The fold of a single run: the last one, so that what is later in time is tested."""
    fold = divided.folds[-1]
    if len(divided.folds) > 1:
        said = f"split: tested on {fold.name} alone"
        if divided.source.label_kind == "class":  # a study of numbers there is none
            said += (
                f"; all {len(divided.folds)} folds, with an interval over them: --protocol "
                f"{divided.protocol.name}"
            )
        talk.say(said)
    return fold


def with_fold(store: TrialStore, fold: Fold) -> TrialStore:
    """The store, with what a fold leaves out."""
    return replace(store, skipped=fold.left_out)


def fold_words(divided: Divided, fold: Fold) -> str:
    """How a fold divides, in one sentence."""
    said = divided.how if divided.protocol.name == "given" else f"{divided.how}; test: {fold.name}"
    if not len(fold.rows("val")):
        said += "; no validation part: the last epoch's weights are kept"
    if fold.left_out:
        said += f"; {len(fold.left_out)} trials left out at the borders"
    return said


def _copies_said(source: Source, duplicates: Sequence[Duplicate]) -> list[str]:
    """A sentence about equal trials, and about those across the border of a given split."""
    if not duplicates:
        return []
    samples = source.samples
    border = [
        pair for pair in duplicates if samples[pair.first].split != samples[pair.second].split
    ]
    first = (border or duplicates)[0]
    names = f"{samples[first.first].sample_id} and {samples[first.second].sample_id}"
    said = f"{len(duplicates)} pairs of equal trials, such as {names}"
    if border:
        said += f"; {len(border)} of them lie across the border of the given split"
    return [f"{said}; none is trained on that is also scored"]
