"""How it was made: the network layer by layer, then recipe, compute, versions, hardware."""

from collections.abc import Mapping
from typing import Any

from vitreous.report.markup import Content, Html, join, tag
from vitreous.report.parts import Cell, Column, Row, code, facts, section, table
from vitreous.report.payload import Payload
from vitreous.report.words import (
    capital,
    count,
    duration,
    number,
    of_these,
    sample_word,
    short_count,
)

WORDS = {
    "dtype": "number format",
    "ema_decay": "decay of averaged weights",
    "gpu": "graphics card",
    "memory_gb": "memory (GB)",
    "why": "why so",
}
OF_PICTURES = frozenset({"mixup", "early_side", "early_share"})  # settings of a recipe
CARD_SHOWN_ELSEWHERE = {"name", "parameters", "input", "weights"}


def network(payload: Payload) -> Html:
    """The network's card and its table."""
    card = payload["run"].get("network") or {}
    rows = payload["network_table"]
    known: list[tuple[str, Content]] = [("Network", card.get("name"))]
    if card.get("parameters") is not None:
        known.append(("Parameters", f"{count(card['parameters'])}"))
    if rows:
        operations = sum(row.get("multiply_adds") or 0 for row in rows)
        word = sample_word(payload["run"])
        if word == "scan" and payload["run"]["task"] == "segment":
            word = "patch"
        known.append((f"Multiply-adds a {word}", short_count(operations)))
    known += _input_and_start(card, payload["run"])
    known += _pairs({k: v for k, v in card.items() if k not in CARD_SHOWN_ELSEWHERE})
    cells = {"trial": "samples", "scan": "voxels"}.get(sample_word(payload["run"]), "pixels")
    return section("network", "Network", facts(known), _layers(rows, cells) if rows else None)


def _input_and_start(card: Mapping[str, Any], run: Mapping[str, Any]) -> list[tuple[str, Content]]:
    size, weights = card.get("input") or {}, card.get("weights")
    names = [axis for axis in ("channels", "depth", "height", "width") if axis in size]
    written = " × ".join(str(size[axis]) for axis in names)
    axes = " × ".join(names)
    if sample_word(run) == "trial":
        axes = "one map of channels × samples"
    start = "random numbers" if weights == "none" else weights
    return [
        ("Input", f"{written} ({axes})" if written else None),
        ("Started from", start),
    ]


def _layers(rows: list[dict[str, Any]], cells: str) -> Html:
    columns = [
        Column("layer"),
        Column("operation"),
        Column("output", numeric=True),
        Column("kernel", numeric=True),
        Column("stride", numeric=True),
        Column("parameters", numeric=True),
        Column("multiply-adds", numeric=True),
        Column("receptive field", numeric=True),
    ]
    total: Row = (
        "all",
        "",
        "",
        "",
        "",
        count(sum(row.get("parameters") or 0 for row in rows)),
        count(sum(row.get("multiply_adds") or 0 for row in rows)),
        "",
    )
    caption = (
        f"{of_these(len(rows), 'operation')} in the order they run; output: channels × "
        f"{'depth × ' if cells == 'voxels' else ''}height × width; receptive field: the input "
        f"{cells} that one cell can see"
    )
    body = [_layer(row) for row in rows]
    return table(caption, columns, body, foot=total, style="layers")


def _layer(row: Mapping[str, Any]) -> Row:
    return (
        code(row["name"]),
        row.get("operation") or "",
        _sizes(row.get("output_shape")),
        _sizes(row.get("kernel")),
        _sizes(row.get("stride")),
        Cell(count(row["parameters"]) if row.get("parameters") else "", row.get("parameters")),
        Cell(count(row["multiply_adds"]) if row.get("multiply_adds") else "", None),
        _sizes(row.get("receptive_field")),
    )


def _sizes(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return " × ".join(str(part) for part in value)
    return str(value)


def made(payload: Payload) -> Html:
    """Everything someone needs to do it again."""
    run = payload["run"]
    general: list[tuple[str, Content]] = [
        ("Command", code(run["command"]) if run.get("command") else None),
        ("Started", run.get("started")),
        ("Seed", str(run.get("seed"))),
        ("Planned steps", count(run["planned_steps"]) if run.get("planned_steps") else None),
    ]
    general += [("Note", note) for note in run.get("notes") or []]
    blocks = [
        ("Recipe", _recipe(run)),
        ("Compute", run.get("compute")),
        ("Seconds", None),
        ("Hardware", run.get("hardware")),
        ("Versions", run.get("versions")),
    ]
    parts = [_block(title, values) for title, values in blocks if values]
    word = sample_word(run)
    times = {
        name.replace("picture", word): duration(value)
        for name, value in (run.get("seconds") or {}).items()
    }
    parts.insert(min(2, len(parts)), _block("Time", times) if times else Html(""))
    return section(
        "made", "How it was made", facts(general), tag("div", {"class": "blocks"}, *parts)
    )


def _recipe(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The recipe; of trials without what is done to pictures alone."""
    recipe = run.get("recipe") or {}
    if sample_word(run) != "trial":
        return recipe
    changes = {"augmentation": ("why",), "views": ("crop_samples", "crop_stride")}
    kept = {name: value for name, value in recipe.items() if name not in OF_PICTURES}
    for name, concerning in changes.items():
        found = {key: value for key, value in (kept.get(name) or {}).items() if key in concerning}
        kept[name] = found or None
    return kept


def _block(title: str, values: Mapping[str, Any]) -> Html:
    return tag("div", None, tag("h3", None, title), facts(_pairs(values)))


def _pairs(values: Mapping[str, Any]) -> list[tuple[str, Content]]:
    return [(_name(key), _value(value)) for key, value in values.items() if value is not None]


def _name(key: str) -> str:
    return capital(WORDS.get(key, key.replace("_", " ")))


def _value(value: Any) -> Content:
    """A setting as people read it: yes and no, short numbers, what is nested as name: value.

    >>> _value(True), _value(0.0003), _value([32, 32]), _value({"flip": False, "shift": 0.1})
    ('yes', '0.0003', '32, 32', 'flip: no; shift: 0.1')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return number(value) if value != round(value, 6) else f"{value:,.7g}"
    if isinstance(value, int):
        return count(value) if abs(value) >= 10_000 else str(value)
    if isinstance(value, Mapping):
        inner = (join([key.replace("_", " "), ": ", _value(v)]) for key, v in value.items())
        return join(_separated(list(inner), "; ")) if value else "none"
    if isinstance(value, list | tuple):
        return join(_separated([_value(one) for one in value], ", ")) if value else "none"
    return str(value) or "–"


def _separated(parts: list[Any], between: str) -> list[Any]:
    return [piece for part in parts for piece in (between, part)][1:]
