"""The pages of `vitreous predict` on scans: each looked through with its answer, and a list of all.

They name a scan as its table does: DICOM series by their hidden names.
"""

import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vitreous.report.markup import Html, join, json_for_html, tag
from vitreous.report.parts import Column, note, paragraph, path_words, section, table
from vitreous.report.render import static_text, whole_page
from vitreous.report.scan_shown import ClassShown, ScanShown
from vitreous.report.sections.looked_through import viewer
from vitreous.report.words import number, of_these, percent


@dataclass(frozen=True)
class ListedScan:
    """One scan in the list of all: millilitres by structure, and where its page lies or why not."""

    name: str
    amounts_ml: Mapping[str, float]
    confidence: float | None  # mean probability of the voxels in structures
    page: str | None  # relative to the list
    error: str | None
    remarks: tuple[str, ...] = ()


def scan_page(scan: ListedScan, shown: ScanShown) -> str:
    """The page of one scan: how large its structures are, and its three planes."""
    up = "../" * (scan.page or "").count("/")
    amounts = table(
        "Structures that were found",
        [Column("structure"), Column("ml", numeric=True)],
        [[name, number(ml)] for name, ml in scan.amounts_ml.items()],
    )
    sure = f"Mean probability of the voxels in structures: {percent(scan.confidence)}. "
    said = sure if scan.confidence is not None else "No structure was found. "
    legend = tag("ul", {"class": "class-colours"}, *map(_swatch, shown["classes"]))
    return whole_page(
        "answer to a scan",
        scan.name,
        join([tag("h1", None, path_words(scan.name)),
              tag("p", {"class": "about"}, tag("a", {"href": f"{up}index.html"}, "all scans"))]),
        section(
            "scan", "The scan and the answer", paragraph(said),
            *(note(remark, style="warning") for remark in scan.remarks), legend,
            viewer(0, shown, opened=True), amounts,
        ),
        beside=(f"{up}volumes.csv", f"{up}masks"),
        data={"scan-values": json_for_html([shown])},
        modules=[static_text("planes.js")],
        style=static_text("planes.css"),
    )  # fmt: skip


def scans_page(structures: Sequence[str], scans: Sequence[ListedScan]) -> str:
    """The list of all scans that were answered, each with a link to its page."""
    columns = [Column("scan"), *(Column(f"{name}, ml", numeric=True) for name in structures),
               Column("confidence", numeric=True)]  # fmt: skip
    rows = [
        [_link(scan), *(number(scan.amounts_ml.get(name, 0.0)) for name in structures),
         "" if scan.confidence is None else percent(scan.confidence)]
        for scan in scans
        if scan.error is None
    ]  # fmt: skip
    failed = [scan for scan in scans if scan.error is not None]
    wrong = f"; {of_these(len(failed), 'scan')} with an error" if failed else ""
    return whole_page(
        "answers to scans",
        "Answers",
        join([tag("h1", None, "Answers"),
              tag("p", {"class": "about"}, f"{of_these(len(rows), 'scan')}{wrong}")]),
        section(
            "scans", "Scans", table("What was found", columns, rows, sortable=True),
            *(note(f"{scan.name}: {scan.error}", style="warning") for scan in failed),
            *(note(f"{scan.name}: {each}", style="warning")
              for scan in scans for each in scan.remarks),
        ),
        beside=("volumes.csv",),
    )  # fmt: skip


def _link(scan: ListedScan) -> Html:
    words = path_words(scan.name)
    return words if scan.page is None else tag("a", {"href": posixpath.normpath(scan.page)}, words)


def _swatch(one: ClassShown) -> Html:
    style = f"background: {one['colour']}"
    return tag("li", None, tag("span", {"class": "swatch", "style": style, "aria-hidden": "true"}),
               one["name"])  # fmt: skip
