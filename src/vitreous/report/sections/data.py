"""Data and split: what was found, how it was divided, what was left out, what was there twice."""

from collections.abc import Mapping
from typing import Any

from vitreous.data.volumes.plan import VolumePlan, plan_lines
from vitreous.report.charts import class_bars
from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.parts import (
    Cell,
    Column,
    Row,
    code,
    disclosure,
    facts,
    paragraph,
    path_words,
    section,
    table,
)
from vitreous.report.payload import Payload
from vitreous.report.tables_of_run import PartSummary, SplitSummary
from vitreous.report.words import NO_BREAK, capital, count, number, of_these, percent, sample_word

PART_NAMES = {"train": "training", "val": "validation", "test": "test"}
MOST_BARS = 40  # classes; beyond it bars would be hairs


def data(payload: Payload) -> Html:
    """Where the data came from and how it was used."""
    found = payload["run"].get("data") or {}
    split = payload["split"]
    word = sample_word(payload["run"])
    return section(
        "data",
        "Data and split",
        _facts(payload, found),
        _plan(found.get("volumes")),
        _parts(split, word) if split else paragraph("The run folder holds no split.csv."),
        _classes(split, payload["run"].get("classes") or [], word) if split else None,
        _skipped(split, word) if split else None,
        _left_out(split["left_out"]) if split else None,
        _duplicates(found.get("duplicates") or {}, word),
    )


def _facts(payload: Payload, found: Mapping[str, Any]) -> Html:
    pixels = found.get("pixel_format") or {}
    size = None
    if pixels:
        colour = {1: "grey", 3: "colour"}.get(pixels["channels"], f"{pixels['channels']} channels")
        size = f"{pixels['height']} × {pixels['width']} pixels (height × width), {colour}"
    if pixels and sample_word(payload["run"]) == "trial":
        size = f"{pixels['height']} channels × {pixels['width']} samples"
    if sample_word(payload["run"]) == "scan":
        size = None  # of the glances that are kept for people; the plan says the rest
    why = found.get("why")
    return facts(
        [
            (
                "Recognised as",
                join([found.get("recognised_as") or "–", f" ({why})" if why else ""]),
            ),
            ("Split", found.get("split_how")),
            ("Groups", _groups(payload["split"], found.get("group"), sample_word(payload["run"]))),
            ("Stored as", size),
            ("Folder", path_words(str(found["root"])) if found.get("root") else None),
            ("Fingerprint", code(found["fingerprint"][:16]) if found.get("fingerprint") else None),
        ]
    )


def _groups(split: SplitSummary | None, group: str | None, word: str) -> Content:
    counted = [part["groups"] for part in split["parts"].values()] if split else []
    total = sum(filter(None, counted))
    if not total:
        return f"none: each {word} counts by itself"
    by = join([" by ", code(group)]) if group else ""
    return join([of_these(total, "group"), by, "; no group is on two sides"])


def _plan(scans: Mapping[str, Any] | None) -> Html | None:
    """How scans are seen and why, in the plan's own sentences."""
    if not scans:
        return None
    lines = plan_lines(VolumePlan.from_json(scans["plan"], "run.json"))
    return join([tag("h3", None, "Plan"), facts([(capital(name), said) for name, said in lines])])


def _parts(split: SplitSummary, word: str) -> Html:
    parts = split["parts"]
    total = sum(part["n"] for part in parts.values())
    has_groups = any(part["groups"] for part in parts.values())
    has_range = any(part["label_range"] for part in parts.values())
    columns = [
        Column("part"),
        Column(f"{word}s", numeric=True),
        Column("share", numeric=True),
        *([Column("groups", numeric=True)] if has_groups else []),
        *([Column("label: smallest, mean, largest", numeric=True)] if has_range else []),
        *([Column("classes, in order")] if _has_bars(split) else []),
    ]
    rows = [
        _part_row(name, part, total, split, has_groups, has_range) for name, part in parts.items()
    ]
    return table(f"How the {word}s were divided", columns, rows)


def _part_row(
    name: str,
    part: PartSummary,
    total: int,
    split: SplitSummary,
    has_groups: bool,
    has_range: bool,
) -> Row:
    row: list[Content | Cell] = [
        PART_NAMES.get(name, name),
        count(part["n"]),
        percent(part["n"] / total),
    ]
    if has_groups:
        row.append(count(part["groups"]))
    if has_range:
        row.append(", ".join(number(value) for value in part["label_range"] or []))
    if _has_bars(split):
        names = _all_labels(split)
        row.append(class_bars({label: part["labels"].get(label, 0) for label in names}))
    return row


def _has_bars(split: SplitSummary) -> bool:
    return 2 < len(_all_labels(split)) <= MOST_BARS


def _all_labels(split: SplitSummary) -> list[str]:
    return sorted({label for part in split["parts"].values() for label in part["labels"]})


def _classes(split: SplitSummary, classes: list[str], word: str) -> Html | None:
    labels = classes or _all_labels(split)
    parts = split["parts"]
    if not labels or not any(part["labels"] for part in parts.values()):
        return None
    columns = [
        Column("class"),
        *(Column(PART_NAMES.get(name, name), numeric=True) for name in parts),
        Column("all", numeric=True),
    ]
    rows: list[Row] = []
    for label in labels:
        counts = [part["labels"].get(str(label), 0) for part in parts.values()]
        numbers = [Cell(count(n), n) for n in [*counts, sum(counts)]]
        rows.append([str(label), *numbers])
    made = table(f"{capital(word)}s of each class", columns, rows, sortable=True)
    return disclosure(f"Counts of each class ({len(labels)})", made)


def _skipped(split: SplitSummary, word: str) -> Html:
    what = "trial" if word == "trial" else "file"
    if not split["skipped"]:
        return paragraph(f"No {what} was skipped.")
    reasons = "; ".join(
        f"{count(n)}{NO_BREAK}×{NO_BREAK}{why}" for why, n in split["skipped_reasons"].items()
    )
    shown = split["skipped_files"]
    rows = [(path_words(file["path"]), file["reason"]) for file in shown]
    rest = split["skipped"] - len(shown)
    more = f" (the first {len(shown)}; all stand in split.csv)" if rest else ""
    files = table(f"Skipped {what}s{more}", [Column(what), Column("reason", wide=True)], rows)
    return join(
        [
            paragraph(f"{of_these(split['skipped'], what)} could not be used: {reasons}."),
            disclosure(f"The skipped {what}s", files),
        ]
    )


def _left_out(reasons: Mapping[str, int]) -> Html | None:
    if not reasons:
        return None
    said = "; ".join(f"{count(n)}{NO_BREAK}×{NO_BREAK}{why}" for why, n in reasons.items())
    return paragraph(f"Not used, on purpose: {of_these(sum(reasons.values()), 'file')} ({said}).")


def _duplicates(found: Mapping[str, Any], word: str) -> Html:
    exact, near = found.get("exact", 0), found.get("near", 0)
    same = "same values" if word == "trial" else "same pixels"
    if not exact and not near:
        nearly = "" if word == "trial" else ", nor nearly,"
        return paragraph(f"No {word} was found twice{nearly} across the parts.")
    rows = [
        (
            path_words(pair["first"]),
            path_words(pair["second"]),
            same if pair.get("exact") else percent(pair["similarity"]),
        )
        for pair in found.get("pairs") or []
    ]
    columns = [Column(word), Column("its double"), Column("likeness", numeric=True)]
    said = f"Found twice: {of_these(exact, 'pair')} with the {same}"
    said += f", {of_these(near, 'pair')} nearly alike." if word != "trial" else "."
    return join(
        [
            paragraph(said),
            disclosure("The pairs", table("Duplicates found", columns, rows)) if rows else None,
        ]
    )
