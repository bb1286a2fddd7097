"""How `vitreous inspect` shows recordings."""

import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from vitreous.data.recordings.inspect import RecordingInspection

FILES_SHOWN = 40
REASONS_SHOWN = 8


def show_recordings(inspection: "RecordingInspection", data: Path, flags: dict[str, Any]) -> None:
    """Print channels, events, recordings, what cannot be used, and what train would do."""
    console = Console(highlight=False, markup=False)
    console.print(f"{inspection.root}: {inspection.kind}", style="bold")
    if inspection.files:
        console.print(_files(inspection))
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


def _files(inspection: "RecordingInspection") -> Table:
    table = Table(title="Recordings", title_justify="left", title_style="bold")
    for name in ("file", "subject", "session", "run"):
        table.add_column(name, overflow="fold")
    for name in ("seconds", "Hz", "channels", "events"):
        table.add_column(name, justify="right")
    table.add_column("bad", overflow="fold")
    for facts in inspection.files[:FILES_SHOWN]:
        kinds = ", ".join(f"{count} {kind}" for kind, count in facts.kinds.items())
        table.add_row(
            facts.path,
            facts.subject or "",
            facts.session or "",
            facts.run or "",
            "" if facts.seconds is None else f"{facts.seconds:,.1f}",
            "" if facts.sampling_rate_hz is None else f"{facts.sampling_rate_hz:g}",
            kinds,
            str(sum(facts.events.values())),
            facts.error or ", ".join(facts.marked_bad),
        )
    if len(inspection.files) > FILES_SHOWN:
        table.caption = f"... and {len(inspection.files) - FILES_SHOWN:,} more"
    return table


def _events(inspection: "RecordingInspection") -> Table:
    table = Table(title="Events", title_justify="left", title_style="bold")
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
        table = Table(title="\nTrials", title_justify="left", title_style="bold")
        table.add_column("subject / session / run", overflow="fold")
        for name in plan.trials:
            table.add_column(name, justify="right")
        for place, counts in list(plan.by_subject.items())[:FILES_SHOWN]:
            table.add_row(place, *(f"{counts.get(name, 0):,}" for name in plan.trials))
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
