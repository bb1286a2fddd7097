"""How `vitreous inspect` shows scans."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vitreous.cli.inspect_parts import facts_table, item, print_skipped
from vitreous.data.volumes.plan import plan_lines

if TYPE_CHECKING:
    from vitreous.data.volumes.inspect import VolumeInspection

FINDINGS_SHOWN = 20
SCANS_SHOWN = 12


def show_volumes(inspection: "VolumeInspection", data: Path, group: str | None) -> None:
    """Print scans, structures, what is wrong, and what train would do."""
    console = Console(highlight=False, markup=False)
    console.print(f"{inspection.root}: {inspection.kind}", style="bold")
    console.print(f"Because {inspection.why}.\n")
    console.print(_scans(inspection))
    if inspection.fingerprint.structures:
        console.print(_structures(inspection))
    elif inspection.label_kind != "none":
        console.print(_counts(inspection))
    console.print(facts_table(_facts(inspection), "Scans"))
    print_skipped(console, inspection.skipped)
    if inspection.findings:
        console.print("\nWorth knowing", style="bold")
        for finding in inspection.findings[:FINDINGS_SHOWN]:
            item(console, finding)
        if len(inspection.findings) > FINDINGS_SHOWN:
            item(console, f"... and {len(inspection.findings) - FINDINGS_SHOWN} more (see --json)")
    console.print()
    _print_plan(console, inspection, data, group)


def _scans(inspection: "VolumeInspection") -> Table:
    table = Table(title="Scans, in RAS", title_justify="left", title_style="bold")
    table.add_column("scan", overflow="fold", min_width=20)  # a hidden name stays on one line
    table.add_column("depth x height x width", justify="right")
    table.add_column("mm", justify="right")
    for name in ("stored as", "values"):
        table.add_column(name)
    scans = inspection.fingerprint.scans
    for scan in scans[:SCANS_SHOWN]:
        table.add_row(
            scan.sample_id,
            " x ".join(map(str, scan.shape)),
            " x ".join(f"{mm:.4g}" for mm in scan.spacing_mm),
            scan.stored_as,
            f"{scan.least:.5g} to {scan.greatest:.5g}",
        )
    if len(scans) > SCANS_SHOWN:
        table.caption = f"... and {len(scans) - SCANS_SHOWN:,} more"
    return table


def _structures(inspection: "VolumeInspection") -> Table:
    table = Table(title="Structures", title_justify="left", title_style="bold")
    table.add_column("name", overflow="fold")
    for name in ("in scans", "voxels", "median ml"):
        table.add_column(name, justify="right")
    for one in inspection.fingerprint.structures:
        table.add_row(one.name, f"{one.scans:,}", f"{one.voxels:,}", f"{one.median_ml:.4g}")
    return table


def _counts(inspection: "VolumeInspection") -> Table:
    table = Table(title="Scans by label", title_justify="left", title_style="bold")
    table.add_column("class", overflow="fold")
    for part in inspection.counts:
        table.add_column(part, justify="right")
    names = dict.fromkeys(name for part in inspection.counts.values() for name in part)
    for name in names:
        table.add_row(name, *(f"{part.get(name, 0):,}" for part in inspection.counts.values()))
    return table


def _facts(inspection: "VolumeInspection") -> list[tuple[str, str]]:
    found = inspection.fingerprint
    shape = " x ".join(f"{side:g}" for side in found.median_shape)
    spacing = " x ".join(f"{mm:.4g}" for mm in found.median_spacing_mm)
    facts = [
        ("read", f"{inspection.read:,}"),
        ("median", f"{shape} voxels of {spacing} mm (depth x height x width)"),
        ("channels", ", ".join(found.channels)),
    ]
    if found.modality:
        facts.append(("modality", found.modality))
    for name, one in zip(found.channels, found.intensities, strict=True):
        where = "in structures" if found.structures else "of voxels above each scan's mean"
        facts.append(
            (
                name,
                f"{one.percentile_0_5:.5g} to {one.percentile_99_5:.5g} (0.5 to 99.5 %), "
                f"median {one.median:.5g}, {where}",
            )
        )
    if inspection.patients is not None:
        facts.append(("patients", f"{inspection.patients:,} (hidden names)"))
    return facts


def _print_plan(
    console: Console, inspection: "VolumeInspection", data: Path, group: str | None
) -> None:
    if inspection.error is not None:
        console.print("Training would stop", style="bold")
        item(console, inspection.error)
        return
    tasks = {"mask": "segment", "class": "classify", "classes": "classify-multilabel"}
    parts = ", ".join(f"{part} {count:,}" for part, count in inspection.split.items())
    facts = [
        ("task", tasks.get(inspection.label_kind, "regress")),
        ("split", inspection.split_how),
        ("parts", parts),
    ]
    if inspection.plan is not None:
        facts += plan_lines(inspection.plan)
    words = ["vitreous", "train", str(data), *(["--group", group] if group else [])]
    facts.append(("start with", shlex.join(words)))
    console.print(facts_table(facts, "What train would do"))
