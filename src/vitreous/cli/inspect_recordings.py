"""How `vitreous inspect` shows recordings."""

import posixpath
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vitreous.data.recordings.inspect import RecordingInspection

FILES_SHOWN = 40
BAD_SHOWN = 2  # names of bad channels in a line
ROOM_FOR_NAMES = 30  # below it other columns give way
LEAST_NAME = 12
REASONS_SHOWN = 8


def show_recordings(inspection: "RecordingInspection", data: Path, flags: dict[str, Any]) -> None:
    """Print channels, events, recordings, what cannot be used, and what train would do."""
    console = Console(highlight=False, markup=False)
    console.print(f"{inspection.root}: {inspection.kind}", style="bold")
    if inspection.files:
        console.print(_files(inspection, console.width))
        console.print(_events(inspection))
    if inspection.channels:
        console.print(
            f"\n{len(inspection.channels)} EEG channels: {', '.join(inspection.channels)}",
            soft_wrap=True,
        )
    _skipped(console, inspection)
    if inspection.findings:
        console.print("\nWorth knowing", style="bold")
        for finding in inspection.findings:
            console.print(f"  - {finding}", soft_wrap=True)
    _plan(console, inspection, data, flags)


def _files(inspection: "RecordingInspection", width: int) -> Table:
    """A line a recording, whatever the width: columns that say nothing are left out."""
    shown = inspection.files[:FILES_SHOWN]
    above, names = _short_paths([facts.path for facts in shown])
    columns: list[tuple[str, list[str]]] = [
        ("subject", [facts.subject or "" for facts in shown]),
        ("session", [facts.session or "" for facts in shown]),
        # where nothing says the run it is the file's own name
        ("run", ["" if facts.run == _stem(facts.path) else facts.run or "" for facts in shown]),
        ("seconds", ["" if f.seconds is None else f"{f.seconds:,.1f}" for f in shown]),
        ("Hz", ["" if f.sampling_rate_hz is None else f"{f.sampling_rate_hz:g}" for f in shown]),
        ("channels", [_kinds(facts.kinds, whole=True) for facts in shown]),
        ("events", [str(sum(facts.events.values())) for facts in shown]),
        ("bad", ["not read" if f.error else _bad(f.marked_bad) for f in shown]),
    ]
    columns = [(name, cells) for name, cells in columns if any(cells)]
    longest = max(map(len, names))
    if width - _taken(columns) < min(longest, ROOM_FOR_NAMES):
        shorter = [_kinds(facts.kinds, whole=False) for facts in shown]
        columns = [(name, shorter if name == "channels" else cells) for name, cells in columns]
    room = max(LEAST_NAME, min(longest, width - _taken(columns)))
    table = _plain_table("Recordings" + (f" in {above}" if above else ""))
    table.add_column("file", no_wrap=True)
    for name, _ in columns:
        justify = "right" if name in ("seconds", "Hz", "events") else "left"
        table.add_column(name, justify=justify, no_wrap=True)
    for row, name in enumerate(names):
        table.add_row(_middle_out(name, room), *(cells[row] for _, cells in columns))
    if len(inspection.files) > FILES_SHOWN:
        table.caption = f"... and {len(inspection.files) - FILES_SHOWN:,} more"
    return table


def _plain_table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD,
                 pad_edge=False, collapse_padding=True)  # fmt: skip


def _taken(columns: Sequence[tuple[str, list[str]]]) -> int:
    """Characters of a plain table's width that these columns and all borders take."""
    widest = [max(len(name), *map(len, cells)) for name, cells in columns]
    return sum(widest) + 2 * len(columns) + 2


def _short_paths(paths: Sequence[str]) -> tuple[str, list[str]]:
    """The folder that all are in, and what is left; file names alone where those differ.

    >>> _short_paths(["a/sub-1/eeg/sub-1_eeg.edf", "a/sub-2/eeg/sub-2_eeg.edf"])
    ('a', ['sub-1_eeg.edf', 'sub-2_eeg.edf'])
    """
    folders = {posixpath.dirname(path) for path in paths}
    above = posixpath.commonpath(folders) if len(folders) > 1 else next(iter(folders), "")
    names = [posixpath.basename(path) for path in paths]
    if len(set(names)) < len(names):
        names = [path.removeprefix(f"{above}/") for path in paths]
    return above, names


def _stem(path: str) -> str:
    return posixpath.basename(path).split(".")[0]


def _middle_out(text: str, length: int) -> str:
    """The text in at most so many characters: names differ at their ends.

    >>> _middle_out("sub-01_task-rest_run-2_eeg.edf", 20)
    'sub-01_ta…-2_eeg.edf'
    """
    if len(text) <= length:
        return text
    after = length // 2
    return f"{text[: length - 1 - after]}…{text[len(text) - after :]}"


def _kinds(kinds: dict[str, int], *, whole: bool) -> str:
    """Channels by kind, or those of EEG and how many others."""
    if whole or len(kinds) < 2 or "eeg" not in kinds:
        return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    return f"{kinds['eeg']} eeg + {sum(kinds.values()) - kinds['eeg']}"


def _bad(names: Sequence[str]) -> str:
    more = f" + {len(names) - BAD_SHOWN}" if len(names) > BAD_SHOWN else ""
    return ", ".join(names[:BAD_SHOWN]) + more


def _events(inspection: "RecordingInspection") -> Table:
    table = _plain_table("Events")
    table.add_column("name", overflow="fold")
    for name in ("events", "in files", "seconds"):
        table.add_column(name, justify="right")
    for name, facts in inspection.events.items():
        shown = f"{name} (technical)" if facts.technical else name
        seconds = f"{facts.median_seconds:g}" if facts.median_seconds else "-"
        table.add_row(shown, f"{facts.count:,}", f"{facts.recordings:,}", seconds)
    return table


def _skipped(console: Console, inspection: "RecordingInspection") -> None:
    harmful = [item for item in inspection.skipped if not item.harmless]
    if not harmful:
        return
    console.print(f"\nCannot be used: {len(harmful):,} recordings and trials", style="bold")
    reasons = Counter(item.reason for item in harmful)
    for reason, count in reasons.most_common(REASONS_SHOWN):
        first = next(item.path for item in harmful if item.reason == reason)
        more = f" and {count - 1:,} more" if count > 1 else ""
        console.print(f"  - {reason}: {first}{more}", soft_wrap=True)
    if len(reasons) > REASONS_SHOWN:
        console.print(f"  - ... and {len(reasons) - REASONS_SHOWN} other reasons (see --json)")


def _plan(
    console: Console, inspection: "RecordingInspection", data: Path, flags: dict[str, Any]
) -> None:
    plan = inspection.plan
    if plan.trials:
        table = _plain_table("\nTrials")
        table.add_column("subject / session / run", no_wrap=True)
        for name in plan.trials:
            table.add_column(name, justify="right")
        columns = [(name, [f"{count:,}"]) for name, count in plan.trials.items()]
        room = max(LEAST_NAME, console.width - _taken(columns))
        for place, counts in list(plan.by_subject.items())[:FILES_SHOWN]:
            table.add_row(
                _middle_out(place, room), *(f"{counts.get(name, 0):,}" for name in plan.trials)
            )
        table.add_row("all", *(f"{count:,}" for count in plan.trials.values()), style="bold")
        console.print(table)
    if plan.error is not None:
        console.print("\nTraining would stop", style="bold")
        console.print(f"  - {plan.error}", soft_wrap=True)
        return
    console.print("\nWhat train would do", style="bold")
    _, channels, samples = plan.network_sees or (1, 0, 0)
    start, stop = plan.window_s or (0.0, 0.0)
    facts = [
        ("task", plan.task),
        ("protocol", f"{plan.protocol} ({plan.why})"),
        ("trials", f"{start:g} to {stop:g} s, {plan.preprocessing}"),
        (
            "network sees",
            f"{channels} channels x {samples} samples at {plan.sampling_rate_hz:g} Hz",
        ),
    ]
    if plan.median_spread_uv is not None:
        facts.append(("usual spread", f"{plan.median_spread_uv:g} µV a channel"))
    if plan.equal_trials:
        facts.append(("equal trials", f"{plan.equal_trials} pairs"))
    facts.append(("start with", _command(data, flags)))
    for name, value in facts:
        console.print(f"  {name:<14}{value}", soft_wrap=True)


def _command(data: Path, flags: dict[str, Any]) -> str:
    words = ["vitreous", "train", str(data)]
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)
