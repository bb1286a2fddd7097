"""What recordings hold, what is wrong with them, and what `train` would do with them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

from vitreous.data.folds import make_folds
from vitreous.data.protocols import Dataset, choose_protocol
from vitreous.data.recordings.containers import container_files
from vitreous.data.recordings.formats import Event, Header, read_header, recording_suffix
from vitreous.data.recordings.places import Place, find_recordings
from vitreous.data.recordings.read import read_recordings
from vitreous.data.recordings.selection import tidy_and_kinds
from vitreous.data.recordings.settings import TECHNICAL, RecordingSettings
from vitreous.data.recordings.sidecars import called_bad, channels_beside, events_beside
from vitreous.data.recordings.trials import Trials, usual_spread_uv
from vitreous.data.samples import Skipped, Source
from vitreous.data.trial_copies import equal_trials, partners
from vitreous.errors import DataError, VitreousError

LISTED_IN_JSON = 1_000
PHYSIONET_HINT = (
    "names as in PhysioNet's motor imagery set: there T1 and T2 mean left and right fist in runs "
    "3, 4, 7, 8, 11, 12, and both fists and both feet in runs 5, 6, 9, 10, 13, 14; choose runs "
    "with --only, such as --only 'R(04|08|12)' --events left=T1,right=T2"
)


@dataclass(frozen=True)
class FileFacts:
    """One recording, as its header and the tables beside it say."""

    path: str
    subject: str | None
    session: str | None
    run: str | None
    split: str | None
    seconds: float | None = None
    sampling_rate_hz: float | None = None
    kinds: dict[str, int] = field(default_factory=dict)  # kind -> channels
    events: dict[str, int] = field(default_factory=dict)  # name -> how many
    marked_bad: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class EventFacts:
    """One kind of event over all recordings."""

    count: int
    recordings: int
    median_seconds: float  # 0 where events have no duration
    technical: bool  # a mark that nobody decodes; not a class by default


@dataclass(frozen=True)
class TrialPlan:
    """What `train` would do; `error` says why it would not."""

    task: str = ""
    trials: dict[str, int] = field(default_factory=dict)  # class -> trials
    by_subject: dict[str, dict[str, int]] = field(default_factory=dict)
    protocol: str = ""
    why: str = ""
    folds: tuple[dict[str, Any], ...] = ()
    network_sees: tuple[int, int, int] | None = None  # 1, channels, samples
    sampling_rate_hz: float | None = None
    window_s: tuple[float, float] | None = None
    preprocessing: str = ""
    median_spread_uv: float | None = None  # standard deviation of a channel in a trial, microvolts
    equal_trials: int = 0
    error: str | None = None


@dataclass(frozen=True)
class RecordingInspection:
    """All that `vitreous inspect` shows of recordings. Made by `inspect_recordings`."""

    root: str
    kind: str
    files: tuple[FileFacts, ...]
    channels: tuple[str, ...]  # of kind EEG, of the first readable recording
    events: dict[str, EventFacts]
    skipped: tuple[Skipped, ...]
    findings: tuple[str, ...]
    plan: TrialPlan

    def to_json(self) -> dict[str, Any]:
        """Plain dicts, lists, numbers and text; of very many skipped trials the first 1,000."""
        result = asdict(self)
        result["skipped"] = [asdict(item) for item in self.skipped[:LISTED_IN_JSON]]
        return result


def inspect_recordings(
    path: Path, settings: RecordingSettings, on_progress: Callable[[int, int], None] | None = None
) -> RecordingInspection:
    """Headers of all recordings, then the trials that training would see, really cut.

    Raises `DataError` where nothing at `path` can be read at all.
    """
    path = Path(path)
    root = path if path.is_dir() and recording_suffix(path) != ".mff" else path.parent
    files, channels, events = _looked_at(path, root, settings)
    findings: list[str] = []
    try:
        source = read_recordings(path, settings, on_progress)
    except VitreousError as error:
        source, plan = None, TrialPlan(error=str(error))
    else:
        plan = _plan(source)
        findings += source.warnings
    if any(name in events for name in ("T1", "T2")) and any(
        (facts.run or "").startswith("R") and (facts.subject or "").startswith("S")
        for facts in files
    ):
        findings.append(PHYSIONET_HINT)
    unread = tuple(Skipped(item.path, item.error) for item in files if item.error)
    return RecordingInspection(
        root=str(root),
        kind=source.kind if source else "EEG recordings",
        files=tuple(files),
        channels=channels or (source.trials.channels if source and source.trials else ()),
        events=events,
        skipped=source.skipped if source else unread,
        findings=tuple(findings),
        plan=plan,
    )


def _looked_at(
    path: Path, root: Path, settings: RecordingSettings
) -> tuple[list[FileFacts], tuple[str, ...], dict[str, EventFacts]]:
    if container_files(path, settings.sampling_rate_hz):
        return [], (), {}
    places, _ = find_recordings(path, settings)
    facts, found, channels = [], [], ()
    for place in places:
        file = root / place.path
        try:
            header = read_header(file, str(file))
            events = events_beside(file) if not header.trials else None
            table = channels_beside(file)
        except DataError as error:
            reason = str(error).removeprefix(f"{file}: ")
            facts.append(_facts(place, error=reason))
            continue
        events = header.events if events is None else events
        found.append(events)
        names, kinds = tidy_and_kinds(header.names, header.kinds, table)
        own = tuple(name for name, kind in zip(names, kinds, strict=True) if kind == "eeg")
        channels = channels or own
        bad = called_bad(header.marked_bad, table)
        marked = tuple(name for name in header.names if name in bad)
        facts.append(_facts(place, header, kinds, events, marked))
    return facts, channels, _event_facts(found)


def _facts(
    place: Place,
    header: Header | None = None,
    kinds: Sequence[str] = (),
    events: Sequence[Event] = (),
    marked_bad: tuple[str, ...] = (),
    error: str | None = None,
) -> FileFacts:
    facts = FileFacts(place.path, place.subject, place.session, place.run, place.split, error=error)
    if header is None:
        return facts
    return replace(
        facts,
        seconds=round(header.seconds, 3),
        sampling_rate_hz=header.sampling_rate_hz,
        kinds=dict(Counter(kinds)),
        events=dict(Counter(event.name for event in events)),
        marked_bad=marked_bad,
    )


def _event_facts(found: Sequence[Sequence[Event]]) -> dict[str, EventFacts]:
    durations: dict[str, list[float]] = {}
    files: Counter[str] = Counter()
    for events in found:
        files.update({event.name for event in events})
        for event in events:
            durations.setdefault(event.name, []).append(event.duration_s)
    return {
        name: EventFacts(
            len(lengths), files[name], round(median(lengths), 3), bool(TECHNICAL.match(name))
        )
        for name, lengths in sorted(durations.items())
    }


def _plan(source: Source) -> TrialPlan:
    trials = source.trials
    if trials is None:
        return TrialPlan(error="no trials")
    tasks = {"class": "classify", "classes": "classify-multilabel", "number": "regress"}
    duplicates = equal_trials(trials.values)
    data = Dataset(source.samples, trials.facts, partners(duplicates), trials.of_subjects)
    plan = TrialPlan(
        task=tasks.get(source.label_kind, "none: there are no labels"),
        trials=dict(Counter(str(sample.label) for sample in source.samples)),
        by_subject=_by_subject(source),
        network_sees=(1, *trials.values.shape[1:]),
        sampling_rate_hz=trials.sampling_rate_hz,
        window_s=trials.window_s,
        preprocessing=trials.preprocessing.words,
        median_spread_uv=_spread_uv(trials),
        equal_trials=len(duplicates),
    )
    try:
        protocol, why = choose_protocol(data)
        folds = make_folds(protocol, data)
    except VitreousError as error:
        return replace(plan, error=str(error))
    shown = tuple(
        {
            "name": fold.name,
            **{part: len(fold.rows(part)) for part in ("train", "val", "test")},
            "left_out": len(fold.left_out),
        }
        for fold in folds
    )
    return replace(plan, protocol=protocol.words, why=why, folds=shown)


def _by_subject(source: Source) -> dict[str, dict[str, int]]:
    found: dict[str, Counter[str]] = {}
    if source.trials is not None:
        for sample, fact in zip(source.samples, source.trials.facts, strict=True):
            place = "/".join(filter(None, (fact.subject, fact.session, fact.run)))
            found.setdefault(place or fact.recording, Counter())[str(sample.label)] += 1
    return {name: dict(counts) for name, counts in found.items()}


def _spread_uv(trials: Trials) -> float | None:
    if trials.unit != "V":
        return None
    some = trials.values[:: max(1, len(trials.values) // 50)]
    return round(usual_spread_uv(some), 2)
