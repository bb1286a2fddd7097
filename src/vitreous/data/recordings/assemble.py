"""Trials of several files put together: one tensor, one list of samples, and what is odd."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitreous.data.labels import labels_from_text
from vitreous.data.recordings.channels import positions_of
from vitreous.data.recordings.places import Place
from vitreous.data.recordings.selection import Selection
from vitreous.data.recordings.settings import RecordingSettings
from vitreous.data.recordings.trials import GIVEN, TrialFacts, Trials, overlapping, usual_spread_uv
from vitreous.data.samples import Picture, Sample, Skipped, Source, Split
from vitreous.data.split_names import settle_splits
from vitreous.errors import DataError

MOST_REASONS = 3
TRIALS_MEASURED = 50  # of a recording, for its usual spread
LEAST_SPREAD_UV, USUAL_SPREAD_UV, MOST_SPREAD_UV = 0.1, 20.0, 1000.0
"""Of a channel in a trial: narrow bands have some tenths of a microvolt, drifts and electrodes in
the brain some hundreds; a unit mistaken is wrong by a thousand or a million."""


@dataclass
class Piece:
    """The trials of one file."""

    place: Place
    rate_hz: float
    contiguous: bool = True
    notes: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)  # float32 (channels, time) each
    labels: list[str] = field(default_factory=list)
    facts: list[TrialFacts] = field(default_factory=list)

    def add(self, sample_id: str, values: np.ndarray, label: str, facts: TrialFacts) -> None:
        """One trial more."""
        self.ids.append(sample_id)
        self.values.append(values)
        self.labels.append(label)
        self.facts.append(facts)


def as_source(
    root: Path,
    files: Sequence[Path],
    pieces: Sequence[Piece],
    skipped: Sequence[Skipped],
    common: Selection,
    settings: RecordingSettings,
    labels_from: str = GIVEN,
    window_s: tuple[float, float] | None = None,
) -> Source:
    """All pieces as one data set. Raises `DataError` where nothing is left or can be learned."""
    silent = _without_trials(pieces, skipped)
    pieces = [piece for piece in pieces if piece.values]
    if not pieces:
        raise DataError(": ".join(filter(None, (f"{root}: no usable trial", _reasons(skipped)))))
    values = np.stack([trial for piece in pieces for trial in piece.values])
    facts = tuple(fact for piece in pieces for fact in piece.facts)
    cells = [label for piece in pieces for label in piece.labels]
    labels = labels_from_text(cells, settings.task, str(root))
    use, meaning = _given_splits(pieces, str(root))
    subjects = {fact.subject for fact in facts}
    samples = tuple(
        Sample(
            sample_id=sample_id,
            path=piece.place.path,
            label=label,
            split=use[piece.place.split] if piece.place.split and use else None,
            group=fact.subject if len(subjects) > 1 else None,
            index=row,
        )
        for row, (piece, sample_id, label, fact) in enumerate(
            zip(
                (piece for piece in pieces for _ in piece.ids),
                (name for piece in pieces for name in piece.ids),
                labels.values,
                facts,
                strict=True,
            )
        )
    )
    rate = pieces[0].rate_hz
    trials = Trials(
        values=values,
        sampling_rate_hz=rate,
        channels=common.channels,
        positions_m=_positions(common.channels),
        facts=facts,
        window_s=window_s or (0.0, values.shape[2] / rate),
        preprocessing=common.chain,
        unit="" if labels_from == GIVEN or common.chain.moving_standardisation else "V",
        contiguous=all(piece.contiguous for piece in pieces),
        labels_from=labels_from,
        reference_channels=common.reference_channels,
        notes=common.notes,
    )
    what = "trials" if labels_from == GIVEN else "recordings"
    source = Source(
        root=root,
        kind=f"EEG {what}",
        why=_why(trials, pieces, settings, meaning),
        label_kind=labels.kind,
        classes=labels.classes,
        samples=samples,
        skipped=tuple(skipped),
        files=tuple(files),
        read=_no_picture,
        warnings=(*common.notes, *silent, *_odd(trials, pieces, samples)),
        decoding=repr(settings),
        trials=trials,
    )
    return _checked(source) if settings.for_training else source


def _without_trials(pieces: Sequence[Piece], skipped: Sequence[Skipped]) -> list[str]:
    """A sentence on recordings that give no trial, and of which none was left out either."""
    left_out = {item.path.partition("#")[0] for item in skipped}
    none = [piece.place.path for piece in pieces if not piece.values]
    none = [path for path in none if path not in left_out]
    if not none:
        return []
    shown = ", ".join(none[:3]) + (" and others" if len(none) > 3 else "")
    return [
        f"no trial comes from {len(none)} of {len(pieces)} recordings ({shown}): none of their "
        "events is one of the classes"
    ]


def _positions(channels: Sequence[str]) -> np.ndarray | None:
    try:
        return positions_of(channels)
    except Exception:  # arrays need no MNE; places are only for showing
        return None


def _no_picture(sample: Sample, minimum_side: int | None = None) -> Picture:  # noqa: ARG001
    raise DataError(f"{sample.path}: is a recording, no picture")


def _reasons(skipped: Sequence[Skipped]) -> str:
    """Why nothing could be used: some examples whole, and how many more there are."""
    said = [f"{item.path}: {item.reason}" for item in skipped if not item.harmless]
    more = [f"and {len(said) - MOST_REASONS} more"] if len(said) > MOST_REASONS else []
    return "; ".join([*said[:MOST_REASONS], *more])


def _given_splits(
    pieces: Sequence[Piece], where: str
) -> tuple[dict[Split, Split | None] | None, str]:
    """What the parts that files' names give are used for; none where only some files have one."""
    given = [piece.place.split for piece in pieces]
    if None in given:
        return None, "no split is given"
    use, meaning = settle_splits([str(split) for split in given], where)
    if not any(use.values()):  # one part alone
        return use, meaning
    return use, f"parts are given: {', '.join(sorted({str(split) for split in given}))}"


def _why(trials: Trials, pieces: Sequence[Piece], settings: RecordingSettings, meaning: str) -> str:
    subjects = {fact.subject for fact in trials.facts if fact.subject}
    sessions = {(fact.subject, fact.session) for fact in trials.facts if fact.session}
    parts = [f"{len(pieces)} files"]
    if subjects:
        parts.append(f"{len(subjects)} subjects" if len(subjects) > 1 else "one subject")
    if sessions:
        parts.append(f"{len(sessions)} sessions")
    start, stop = trials.window_s
    label = f"the label is {settings.label} of the subject" if settings.label else meaning
    return (
        f"{', '.join(parts)}: {len(trials.values):,} trials of {len(trials.channels)} channels, "
        f"{start:g} to {stop:g} s, {trials.sampling_rate_hz:g} Hz, {trials.preprocessing.words}; "
        f"{label}"
    )


def _odd(trials: Trials, pieces: Sequence[Piece], samples: Sequence[Sample]) -> Iterator[str]:
    yield from (note for piece in pieces for note in piece.notes)
    if trials.unit == "V":
        yield from _units_said(pieces)
    dead = [fact for fact in trials.facts if fact.dead_channels]
    if dead:
        count = sum(len(fact.dead_channels) for fact in dead)
        names = Counter(name for fact in dead for name in fact.dead_channels).most_common(3)
        shown = ", ".join(name for name, _ in names)
        yield (
            f"{count} channels are constant in {len(dead)} trials that are used all the same "
            f"(most often {shown}): the electrode was off"
        )
    if not trials.contiguous and trials.facts[0].onset_s is not None:
        yield "time jumps between trials: nothing is filtered across their borders"
    rows = np.arange(len(samples))
    shared = sum(
        1
        for row in rows[:2000]
        if len(overlapping(trials.facts, rows[row : row + 1], _near(rows, row)))
    )
    if shared:
        yield (
            f"windows overlap ({shared} of {min(2000, len(rows))} looked at share time with a "
            "neighbour): they are kept on one side of every border"
        )


def _units_said(pieces: Sequence[Piece]) -> Iterator[str]:
    """Sentences on recordings whose volts no scalp gives: their files say a wrong unit."""
    found: dict[float, list[tuple[str, float]]] = {}
    for piece in pieces:
        some = piece.values[:: max(1, len(piece.values) // TRIALS_MEASURED)]
        spread_uv = usual_spread_uv(some)
        if spread_uv > 0 and not LEAST_SPREAD_UV <= spread_uv <= MOST_SPREAD_UV:
            factor = 10.0 ** (3 * round(math.log10(USUAL_SPREAD_UV / spread_uv) / 3))
            found.setdefault(factor, []).append((piece.place.path, spread_uv))
    for factor, files in found.items():
        path, spread_uv = files[0]
        more = f" and {len(files) - 1} other recordings" if len(files) > 1 else ""
        yield (
            f"{path}{more}: a channel's usual spread is {spread_uv:.3g} µV, which no EEG has; the "
            f"unit in the file looks wrong: values times {factor:g} would have "
            f"{spread_uv * factor:.3g} µV; mend the file, nothing is rescaled here"
        )


def _near(rows: np.ndarray, row: int) -> np.ndarray:
    """The rows about one: trials lie in the order of time."""
    return np.concatenate([rows[max(0, row - 20) : row], rows[row + 1 : row + 21]])


def _checked(source: Source) -> Source:
    """Raises `DataError` where there is nothing to tell apart."""
    if source.label_kind != "class":
        return source
    counts = Counter(str(sample.label) for sample in source.samples)
    if len(counts) == 1:
        (only,) = counts
        raise DataError(
            f"{source.root}: all {len(source.samples)} trials are '{only}'; at least two classes "
            "are needed: name events with --events CLASS=EVENT,..."
        )
    alone = sorted(name for name, count in counts.items() if count < 2)
    if alone:
        raise DataError(
            f"{source.root}: class '{alone[0]}' has one trial only; leave it out by naming the "
            "others in --events"
        )
    return source
