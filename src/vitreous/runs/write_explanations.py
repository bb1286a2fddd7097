"""What `explain` leaves: a picture a map, one JSON file, and one page that holds everything."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vitreous.data.volumes.scans import volume_stem
from vitreous.errors import RequestError
from vitreous.files import write_bytes, write_json, write_text
from vitreous.report.explanation import ExplanationShown, explanation_page
from vitreous.report.overlay import overlay_png
from vitreous.report.planes import WORDS, WORDS_AT_VOXEL, planes_of_map
from vitreous.report.traces import trial_map_png
from vitreous.runs.explain import PictureExplanation
from vitreous.runs.explain_trials import axes_of
from vitreous.runs.run import Run
from vitreous.runs.volumes import plan_of

MOST_ON_THE_PAGE = 60  # explanations; all are in the folder


@dataclass
class Written:
    """What was written: the items of explanations.json, and how fast the maps were made."""

    items: list[dict[str, Any]] = field(default_factory=list)
    count: int = 0
    errors: int = 0
    seconds: float = 0.0  # for the maps alone

    @property
    def maps_a_second(self) -> float | None:
        """Maps made in a second of attribution; None where there are none."""
        maps = self.count - self.errors
        return maps / self.seconds if maps and self.seconds else None


def write_explanations(
    folder: Path,
    run: Run,
    explanations: Iterable[PictureExplanation],
    tell: Callable[[PictureExplanation], None] = lambda one: None,  # noqa: ARG005
) -> Written:
    """Write NAME.png for each picture, explanations.json and index.html, each atomically.

    Pictures are drawn as they come. Raises `RequestError` where the folder is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise RequestError(f"{folder}: is a file; choose another --out")
    written, shown, names = Written(), [], set()
    for one in explanations:
        tell(one)
        written.count += 1
        item = one.to_json()
        if one.error is not None or one.map is None or one.picture is None:
            written.errors += 1
        else:
            written.seconds += one.map.seconds
            drawn = _drawn(run, one)
            item["file"] = _free_name(_stem(run, one.sample_id), names)
            write_bytes(folder / item["file"], drawn)
            if len(shown) < MOST_ON_THE_PAGE:
                shown.append(ExplanationShown(drawn, item, tuple(captions(run, one))))
        written.items.append(item)
    write_json(folder / "explanations.json", {"format": 1, "explanations": written.items})
    what = "trial" if run.of_trials else "scan" if run.of_scans else "picture"
    page = explanation_page(str(run.folder), shown, written.count, written.errors, what)
    write_text(folder / "index.html", page)
    return written


def _drawn(run: Run, one: PictureExplanation) -> bytes:
    assert one.picture is not None
    assert one.map is not None
    if run.of_trials:
        return trial_map_png(one.picture[0], one.map.values, captions(run, one), axes_of(run))
    if run.of_scans:
        spacing = plan_of(run.record.data).spacing_mm
        voxel = None if one.place is None else one.place.voxel
        planes, values, marks = planes_of_map(one.picture[0], one.map.values, spacing, voxel)
        words = WORDS_AT_VOXEL if voxel else WORDS
        return overlay_png(planes, values, [*captions(run, one), words], marks)
    marks = [] if one.place is None else [one.place.mark]
    return overlay_png(one.picture, one.map.values, captions(run, one), marks)


def _stem(run: Run, sample_id: str) -> str:
    """Of a trial the seconds behind its recording's name belong to it; .nii.gz is one ending."""
    if run.of_scans:
        return Path(volume_stem(sample_id)).name
    return Path(sample_id).name if run.of_trials else Path(sample_id).stem


def captions(run: Run, one: PictureExplanation) -> list[str]:
    """What is written on the picture: the answer, and how the map was made."""
    assert one.map is not None
    confidence = "" if one.confidence is None else f", {one.confidence:.1%}"
    answer = f"{one.predicted:.4g}" if isinstance(one.predicted, float) else one.predicted
    against = "" if one.versus is None else f", not {one.versus}"
    where = f" at {one.map.layer}" if one.map.layer else ""
    view = f"; one view of {run.views.count}" if run.views.count > 1 else ""
    view = "; the piece in the middle alone" if run.views.crop_samples else view
    lines = [] if one.place is None else [one.place.words]
    lines += [
        f"answer: {answer}{confidence}{view}",
        f"why {one.explained}{against}: {one.map.method}{where}",
    ]
    if one.map.baseline is not None:
        lines.append(f"compared with {one.map.baseline}")
    if one.map.gap is not None:
        lines.append(f"completeness gap {one.map.gap:+.2g} of {one.map.claimed:.3g}")
    return lines


def _free_name(stem: str, taken: set[str]) -> str:
    plain = re.sub(r"[^\w.-]+", "-", stem)[:80] or "picture"
    name, number = f"{plain}.png", 2
    while name in taken:
        name, number = f"{plain}-{number}.png", number + 1
    taken.add(name)
    return name
