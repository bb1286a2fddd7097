"""Trials that came as arrays: which channels, which seconds and which labels of them are used."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitreous.data.preprocessing import refuse_for_cut_trials
from vitreous.data.recordings.assemble import Piece
from vitreous.data.recordings.channels import channel_kinds
from vitreous.data.recordings.containers import Container, common_rate
from vitreous.data.recordings.cutting import chained_trial
from vitreous.data.recordings.places import Place
from vitreous.data.recordings.selection import (
    Selection,
    chosen_channels,
    known_channel,
    like_the_run,
    no_eeg_words,
    reference_rows,
    rows_of,
    settled_reference,
)
from vitreous.data.recordings.settings import (
    RecordingSettings,
    TrialFormat,
    class_of,
    event_classes,
    window_seconds,
)
from vitreous.data.recordings.trials import TrialFacts
from vitreous.data.samples import Skipped
from vitreous.data.split_names import split_of
from vitreous.errors import DataError, RequestError

Window = tuple[float, float]


@dataclass(frozen=True)
class GivenPlan:
    """What is taken of each trial."""

    names: tuple[str, ...]  # of all channels in the files
    selection: Selection
    rate_hz: float  # of the files
    samples: slice  # after the chain
    labels: dict[str, str]  # as given -> as used; others are left out


def pieces_of_containers(
    containers: Sequence[Container], settings: RecordingSettings, where: Path
) -> tuple[list[Piece], list[Skipped], Selection, Window]:
    """Trials that came as arrays, what is left out of them, and the seconds that are taken.

    Raises `DataError` where the files do not fit each other, `RequestError` for settings that have
    no meaning for arrays, or that contradict them.
    """
    refuse_for_cut_trials(settings.chain, str(where))
    if settings.like is None:
        _refuse_what_arrays_have_not(settings, where)
    rate = common_rate(containers, settings.sampling_rate_hz, where, settings.like is not None)
    first = containers[0]
    for other in containers[1:]:
        if other.values.shape[1:] != first.values.shape[1:]:
            raise DataError(
                f"{other.path}: trials of {other.values.shape[1:]}, but {first.path} has "
                f"{first.values.shape[1:]} (channels, time); they must be alike"
            )
    names = _names_of(first, settings, where)
    selection = _selected(names, settings, where)
    after_hz = selection.chain.resample_hz or rate
    samples = int(np.ceil(first.values.shape[2] * after_hz / rate - 1e-9))
    window, notes = _window(settings, samples, after_hz, where)
    labels, left_out = _labels(containers, settings, where)
    start = round(window[0] * after_hz)
    taken = slice(start, start + round((window[1] - window[0]) * after_hz))
    notes = (*selection.notes, *notes, *left_out)
    selection = replace(selection, notes=notes)
    plan = GivenPlan(names, selection, rate, taken, labels)
    skipped: list[Skipped] = []
    pieces = [_piece(one, plan, str(where), skipped) for one in containers]
    return pieces, skipped, selection, window


def _refuse_what_arrays_have_not(settings: RecordingSettings, where: Path) -> None:
    refused = {
        "--label": (settings.label, "a column of participants.tsv; arrays have a label a trial"),
        "--only": (settings.only, "for folders of recordings; give the file with the arrays"),
        "--group": (settings.subject, "searched in the paths of recordings; name the subjects of "
                                      "trials in an array `subjects` in the .npz"),
    }  # fmt: skip
    for flag, (value, why) in refused.items():
        if value:
            raise RequestError(f"{where}: {flag} {value} is {why}; leave {flag} out")


def _names_of(first: Container, settings: RecordingSettings, where: Path) -> tuple[str, ...]:
    """Names of all channels in the files; who has none takes them from the user or the run."""
    count = first.values.shape[1]
    if first.channels is not None:
        if len(first.channels) != count:
            raise DataError(f"{where}: {len(first.channels)} channel names for {count} channels")
        if settings.like is None:
            return first.channels
        if not _unnamed(settings.like.channels):
            return _as_the_run_calls(first.channels, settings.like)
    elif settings.channels:
        named = tuple(name.strip() for name in settings.channels.split(","))
        if len(named) == count:
            return named
        raise RequestError(
            f"{where}: its {count} channels have no names, so --channels must name all of them in "
            f"their order, and has {len(named)}; or add the names to an .npz as ch_names"
        )
    if settings.like is None:
        return tuple(f"channel {number + 1}" for number in range(count))
    wanted = settings.like.channels
    if len(wanted) != count:
        raise RequestError(
            f"{where}: trials of {count} channels that no names tell apart; the run takes "
            f"{len(wanted)}; give an .npz with ch_names, or those channels alone"
        )
    return wanted


def _as_the_run_calls(names: tuple[str, ...], like: TrialFormat) -> tuple[str, ...]:
    """Names as the run has them, where it only spells them otherwise."""
    wanted = (*like.channels, *(like.reference_channels or ()))
    if all(name in names for name in wanted):
        return names
    return tuple(known_channel(name, wanted) or name for name in names)


def _unnamed(channels: Sequence[str]) -> bool:
    """Whether a run was trained on channels that had no names."""
    return all(name == f"channel {number + 1}" for number, name in enumerate(channels))


def _selected(names: tuple[str, ...], settings: RecordingSettings, where: Path) -> Selection:
    if settings.like is not None:
        return like_the_run(settings.like, settings.chain)
    kinds = dict(zip(names, channel_kinds(names, ["eeg"] * len(names)), strict=True))
    eeg = tuple(name for name in names if kinds[name] == "eeg")
    if not eeg and not settings.channels:
        raise DataError(
            f"{where}: its channels are no EEG by their names ({', '.join(names[:8])}); choose "
            "some with --channels"
        )
    channels = chosen_channels(settings.channels, names) if settings.channels else eeg
    left_out = [] if settings.channels else [name for name in names if name not in eeg]
    chain, reference, notes = settled_reference(settings.chain, channels, eeg, names)
    return Selection(channels, chain, (*no_eeg_words(left_out), *notes), reference)


def _window(
    settings: RecordingSettings, samples: int, rate_hz: float, where: Path
) -> tuple[Window, list[str]]:
    """The seconds of each trial, from its first sample, that are taken, and what to say of it.

    At prediction trials that are as long as the run's are taken whole.
    """
    seconds = samples / rate_hz
    whole = (0.0, seconds)
    wanted = settings.like.window_s if settings.like else window_seconds(settings.window)
    if wanted is None or (settings.like and settings.like.samples == samples):
        return whole, []
    inside = wanted[0] >= 0 and wanted[1] <= seconds + 0.5 / rate_hz
    if settings.like:
        said = f"trials last {seconds:g} s; {wanted[0]:g} to {wanted[1]:g} s of each are taken, as "
        return (wanted, [said + "the run's were"]) if inside else (whole, [])
    if not inside:
        raise RequestError(
            f"{where}: its trials last from 0 to {seconds:g} s, which --window {settings.window} "
            "is not within"
        )
    return wanted, []


def _labels(
    containers: Sequence[Container], settings: RecordingSettings, where: Path
) -> tuple[dict[str, str], list[str]]:
    """Each label that is used, with its class by `--events`, and a sentence on the others.

    At prediction labels that are classes already stay, and all do where none is known: they may
    be there for the form alone.
    """
    counts = Counter(label for one in containers for label in one.labels)
    classes = event_classes(settings.events)
    used = {label: class_of(label, classes) if classes else label for label in counts}
    if classes and settings.like:
        used = {k: name or (k if k in classes else None) for k, name in used.items()}
        if not any(used.values()):
            used = {label: label for label in counts}
    elif classes:
        missing = [name for name in classes if name not in used.values()]
        if missing:
            seen = ", ".join(f"'{label}' ({n})" for label, n in counts.most_common(8))
            raise DataError(
                f"{where}: no label is '{missing[0]}' ({' or '.join(classes[missing[0]])}); labels "
                f"found: {seen}; name them with --events CLASS=LABEL,..."
            )
    others = [label for label, name in used.items() if name is None]
    notes = []
    if others:
        shown = ", ".join(others[:4]) + (" and others" if len(others) > 4 else "")
        count = sum(counts[label] for label in others)
        notes.append(f"{count} trials have labels that --events does not name, and are left out: "
                     f"{shown}")  # fmt: skip
    return {label: name for label, name in used.items() if name is not None}, notes


def _piece(container: Container, plan: GivenPlan, where: str, skipped: list[Skipped]) -> Piece:
    place = Place(container.path, split=split_of(container.split) if container.split else None)
    selection = plan.selection
    rows = rows_of(plan.names, selection.channels, where)
    reference = reference_rows(plan.names, selection, where)
    rate = selection.chain.resample_hz or plan.rate_hz
    piece = Piece(place, rate, contiguous=False)
    for number, (values, label) in enumerate(zip(container.values, container.labels, strict=True)):
        sample_id = f"{container.path}#{number}"
        if label not in plan.labels:
            reason = f"its label '{label}' is none of --events"
            skipped.append(Skipped(sample_id, reason, harmless=True))
            continue
        one = chained_trial(values, plan.rate_hz, rows, reference, selection.channels,
                            selection.chain)  # fmt: skip
        if isinstance(one, str):
            skipped.append(Skipped(sample_id, one))
            continue
        facts = TrialFacts(
            recording=container.path,
            subject=container.subjects[number] if container.subjects else None,
            session=container.sessions[number] if container.sessions else None,
            dead_channels=tuple(selection.channels[row] for row in one.dead),
        )
        part = np.ascontiguousarray(one.values[:, plan.samples], np.float32)
        piece.add(sample_id, part, plan.labels[label], facts)
    return piece
