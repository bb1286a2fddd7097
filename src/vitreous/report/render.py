"""From the payload to one HTML file: no request leaves it, and it reads well without JavaScript."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from vitreous.files import write_json, write_text
from vitreous.report.extras import Extras
from vitreous.report.front_end import has_front_end, read_bundle
from vitreous.report.markup import Html, join, json_for_html, tag, text
from vitreous.report.payload import Payload, build_payload
from vitreous.report.scan_shown import ScanShown
from vitreous.report.sections.answer import answer
from vitreous.report.sections.boxes import boxes
from vitreous.report.sections.data import data
from vitreous.report.sections.inside import inside
from vitreous.report.sections.listening import TITLE as LISTENING
from vitreous.report.sections.listening import listening
from vitreous.report.sections.made import made, network
from vitreous.report.sections.mistakes import MOST_WRONG, confusion, most_wrong
from vitreous.report.sections.scores import calibration, per_class, regression
from vitreous.report.sections.training import training
from vitreous.report.sections.walk import walk
from vitreous.report.walk import WalkShown
from vitreous.report.words import of_these, sample_word

SECTIONS = {
    "answer": ("Answer", answer),
    "data": ("Data and split", data),
    "training": ("Training", training),
    "predictions": ("Predictions", regression),
    "boxes": ("Boxes", boxes),
    "confusion": ("Confusion", confusion),
    "pictures": ("Pictures", most_wrong),
    "inside": ("Inside the network", inside),
    "listening": (LISTENING, listening),
    "through": ("Walk", walk),
    "classes": ("Classes", per_class),
    "calibration": ("Calibration", calibration),
    "network": ("Network", network),
    "made": ("How it was made", made),
}

TASKS = {
    "classify": "Classification",
    "classify-multilabel": "Multi-label classification",
    "regress": "Regression",
    "segment": "Segmentation",
    "detect": "Detection",
}


def write_report(folder: Path, extras: Extras | None = None) -> Path:
    """Write `report.json` and `report.html` into the run folder, each whole or not at all.

    Returns the page's path. Raises `DataError` with a path where the run folder cannot be read.
    """
    payload = build_payload(folder, extras)
    page = render(payload)
    write_json(folder / "report.json", payload)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def render(payload: Payload) -> str:
    """The whole page. A function of the payload alone."""
    shown = {name: made for name, (_, show) in SECTIONS.items() if (made := show(payload))}
    return page(
        _title(payload["run"]),
        _head(payload["run"]),
        {_title_of(name, payload["run"]): (name, made) for name, made in shown.items()},
        {key: payload[key] for key in ("format", "run", "evaluation")},
        payload["walk"] if "through" in shown and has_front_end() else None,
        [one["scan"] for one in payload["drawn"] if one["scan"] is not None],
    )


def _title_of(name: str, run: Mapping[str, Any]) -> str:
    """A section's entry in the menu; there is no picture of a trial."""
    of_trials = sample_word(run) == "trial"
    return MOST_WRONG if name == "pictures" and of_trials else SECTIONS[name][0]


def page(
    title: str,
    head: Html,
    sections: Mapping[str, tuple[str, Html]],
    figures: dict[str, Any],
    walk: WalkShown | None = None,
    scans: Sequence[ScanShown] = (),
) -> str:
    """A whole page: sections by their titles, each with its address, and the figures as JSON.

    With `walk` the explorer's script and the numbers that it draws from go with the page; with
    `scans` the viewer of three planes and their voxels.
    """
    links = [tag("a", {"href": f"#{name}"}, words) for words, (name, _) in sections.items()]
    contents = tag("ul", None, *(tag("li", None, link) for link in links))
    data = {"figures": json_for_html(figures)}
    modules = []
    if walk is not None:
        data["walk-values"] = json_for_html(walk)
        modules.append(read_bundle().script)
    if scans:
        data["scan-values"] = json_for_html(list(scans))
        modules.append(static_text("planes.js"))
    return whole_page(
        "run report",
        title,
        head,
        join(made for _, made in sections.values()),
        beside=("report.json", "evaluation.json", "run.json"),
        contents=tag("nav", {"aria-label": "Contents"}, contents),
        data=data,
        modules=modules,
        style=static_text("planes.css") if scans else "",
    )


def whole_page(
    kind: str,
    title: str,
    head: Html,
    content: Html,
    *,
    beside: Sequence[str],
    contents: Html | None = None,
    data: Mapping[str, Html] | None = None,
    modules: Sequence[str] = (),
    style: str = "",
) -> str:
    """The page that reports and explanations share: head, content, foot and script.

    `beside` are the files that hold its numbers, too; `data` JSON by the id of its element;
    `modules` scripts beyond the page's own; `style` what only this kind of page needs.
    """
    script = static_text("report.js")
    scripts = [
        *(
            tag("script", {"type": "application/json", "id": name}, value)
            for name, value in (data or {}).items()
        ),
        tag("script", None, Html(script)),
        *(tag("script", {"type": "module"}, Html(module)) for module in modules),
    ]
    files_beside = [tag("code", None, name) for name in beside]
    return Template(static_text("page.html")).substitute(
        policy=page_policy(script, *modules),
        title=text(title),
        style="".join([static_text("palette.css"), static_text("report.css"), style]),
        kind=kind,
        head=head,
        contents="" if contents is None else contents + "\n",
        sections=content,
        beside=_listed(files_beside),
        scripts="\n".join(scripts),
    )


def _listed(names: Sequence[Html]) -> Html:
    """Names with commas, and the last with "and"."""
    *others, last = names
    return Html(f"{', '.join(others)} and {last}") if others else last


def page_policy(*scripts: str) -> Html:
    """What the browser may do with the page: show it. It may fetch nothing and run these alone."""
    allowed = " ".join(
        f"'sha256-{b64encode(sha256(script.encode()).digest()).decode('ascii')}'"
        for script in scripts
    )
    rules = [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src {allowed}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    return text("; ".join(rules))


def static_text(name: str) -> str:
    """A file of `report/static`."""
    return files("vitreous.report").joinpath("static", name).read_text(encoding="utf-8")


def _title(run: dict[str, Any]) -> str:
    root = (run.get("data") or {}).get("root") or "a run"
    return f"{TASKS.get(run['task'], run['task'])} of {Path(root).name or root}"


def _head(run: dict[str, Any]) -> Html:
    classes = run.get("classes") or []
    about = [
        of_these(len(classes), "class", "classes") if classes else None,
        (run.get("network") or {}).get("name"),
        (run.get("started") or "")[:10] or None,
    ]
    line = " · ".join(filter(None, about))
    return join([tag("h1", None, _title(run)), tag("p", {"class": "about"}, line)])
