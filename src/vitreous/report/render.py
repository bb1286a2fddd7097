"""From the payload to one HTML file: no request leaves it, and it reads well without JavaScript."""

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from vitreous.files import write_json, write_text
from vitreous.report.extras import Extras
from vitreous.report.markup import Html, join, json_for_html, tag, text
from vitreous.report.payload import Payload, build_payload
from vitreous.report.sections.answer import answer
from vitreous.report.sections.boxes import boxes
from vitreous.report.sections.data import data
from vitreous.report.sections.inside import inside
from vitreous.report.sections.listening import TITLE as LISTENING
from vitreous.report.sections.listening import listening
from vitreous.report.sections.made import made, network
from vitreous.report.sections.mistakes import confusion, most_wrong
from vitreous.report.sections.scores import calibration, per_class, regression
from vitreous.report.sections.training import training
from vitreous.report.words import of_these

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
        {SECTIONS[name][0]: (name, made) for name, made in shown.items()},
        {key: payload[key] for key in ("format", "run", "evaluation")},
    )


def page(
    title: str, head: Html, sections: Mapping[str, tuple[str, Html]], figures: dict[str, Any]
) -> str:
    """A whole page: sections by their titles, each with its address, and the figures as JSON."""
    script = static_text("report.js")
    links = [tag("a", {"href": f"#{name}"}, words) for words, (name, _) in sections.items()]
    return Template(static_text("template.html")).substitute(
        policy=page_policy(script),
        title=text(title),
        style=static_text("report.css"),
        head=head,
        contents=tag("ul", None, *(tag("li", None, link) for link in links)),
        sections=join(made for _, made in sections.values()),
        figures=json_for_html(figures),
        script=script,
    )


def page_policy(script: str) -> Html:
    """What the browser may do with the page: show it. It may fetch nothing and run one script."""
    digest = b64encode(sha256(script.encode()).digest()).decode("ascii")
    rules = [
        "default-src 'none'",
        "img-src data:",
        "style-src 'unsafe-inline'",
        f"script-src 'sha256-{digest}'",
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
