"""The report's content as JSON (`report.json`): all that a renderer gets, whichever it is."""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any, TypedDict

from vitreous.errors import DataError
from vitreous.evaluation.intervals import wilson
from vitreous.files import read_json
from vitreous.report import tables_of_run
from vitreous.report.extras import Drawn, Extras, small_picture
from vitreous.report.listening_shown import ListeningShown, listening_shown
from vitreous.report.scan_shown import ScanShown
from vitreous.report.shown import (
    DataUri,
    FiltersShown,
    MapsShown,
    data_uri,
    filters_shown,
    maps_shown,
)
from vitreous.report.tables_of_run import Answer, Points, SplitSummary
from vitreous.report.walk import WalkShown

FORMAT = 1
MOST_WRONG = 18  # pictures shown of each kind
LABEL_ERRORS = 18
RIGHT = 12
DRAWN_SIDE = 320  # pixels of the longer side
WALKED = 3  # wrong and as many right answers, whose numbers the report carries
LARGEST_MATRIX = 200  # classes; beyond it only the most confused pairs are kept


class ConfusedPair(TypedDict):
    """Two classes taken for one another: `n` pictures of `truth`, `share` of all of them."""

    truth: str
    predicted: str
    n: int
    share: float


class Confusion(TypedDict):
    """Counts with a row for each truth and a column for each answer; pairs, most frequent first."""

    classes: list[str]
    matrix: list[list[int]] | None
    pairs: list[ConfusedPair]


class DrawnShown(TypedDict):
    """A test picture beside its truth and the answer, both laid over it."""

    sample_id: str
    kind: str  # worst or best
    words: str
    more_words: str
    picture: DataUri
    truth: DataUri
    answer: DataUri
    scan: ScanShown | None


class Payload(TypedDict):
    """A whole report. `run` and `evaluation` are those files, long lists cut."""

    format: int
    run: dict[str, Any]
    evaluation: dict[str, Any] | None
    history: dict[str, list[float | None]]
    split: SplitSummary | None
    confusion: Confusion | None
    points: Points | None
    right: list[Answer]
    pictures: dict[str, DataUri]
    filters: FiltersShown | None
    feature_maps: list[MapsShown]
    listening: ListeningShown | None
    network_table: list[dict[str, Any]]
    drawn: list[DrawnShown]
    walk: WalkShown | None
    walk_missing: str


def build_payload(folder: Path, extras: Extras | None = None) -> Payload:
    """Everything to show of the run in `folder`, ready for `json.dumps`.

    Needs `run.json`; what else is absent (a run that was interrupted has no evaluation) is None
    or empty. Raises `DataError` with the file's path where one cannot be read.
    """
    extras = extras or Extras()
    run = _run(folder)
    evaluation = _evaluation(folder)
    right = _right_answers(folder, run, evaluation, extras)
    return Payload(
        format=FORMAT,
        run=run,
        evaluation=evaluation,
        history=tables_of_run.read_history(folder / "history.csv"),
        split=tables_of_run.summarise_split(folder / "split.csv", run["task"], _on_purpose(run)),
        confusion=_confusion(evaluation),
        points=_points(folder, run),
        right=right,
        pictures=_pictures(extras.pictures, evaluation, right),
        filters=filters_shown(extras.filters),
        feature_maps=[maps_shown(maps) for maps in extras.feature_maps],
        listening=listening_shown(extras.listening),
        network_table=[_plain(dict(row)) for row in extras.network_table],
        drawn=[_drawn_shown(one) for one in extras.drawn],
        walk=extras.walk,
        walk_missing=extras.walk_missing,
    )


def wanted_pictures(folder: Path) -> list[str]:
    """The sample ids whose pictures the report of `folder` would show; for `Extras.pictures`."""
    run, evaluation = _run(folder), _evaluation(folder)
    if evaluation is None:
        return []
    wrong = [row["sample_id"] for row in _shown_mistakes(evaluation)]
    right = tables_of_run.right_answers(folder / "predictions.csv", run["task"], None, RIGHT)
    return list(dict.fromkeys([*wrong, *(row["sample_id"] for row in right)]))


def wanted_walk(folder: Path) -> list[Answer]:
    """The answers whose way through the network the report would carry: wrong and right in turn."""
    run, evaluation = _run(folder), _evaluation(folder)
    if evaluation is None:
        return []
    right = tables_of_run.right_answers(folder / "predictions.csv", run["task"], None, WALKED)
    wrong = [Answer(**{key: row[key] for key in Answer.__annotations__})
             for row in evaluation["most_wrong"][:WALKED]]  # fmt: skip
    pairs = zip_longest(wrong, right)
    return [answer for pair in pairs for answer in pair if answer is not None]


def _run(folder: Path) -> dict[str, Any]:
    path = folder / "run.json"
    run = read_json(path)
    if run.get("format") != FORMAT:
        raise DataError(f"{path}: format {run.get('format')}, this version reads {FORMAT}")
    return run


def _on_purpose(run: dict[str, Any]) -> set[str]:
    """The reasons for which files were left out that could be used."""
    skipped = (run.get("data") or {}).get("skipped") or []
    return {item["reason"] for item in skipped if item.get("harmless")}


def _evaluation(folder: Path) -> dict[str, Any] | None:
    path = folder / "evaluation.json"
    if not path.exists():
        return None
    evaluation = read_json(path)
    evaluation["most_wrong"] = (evaluation.get("most_wrong") or [])[:MOST_WRONG]
    if evaluation["task"] != "segment":  # pixels of one picture are right or wrong together
        _add_intervals((evaluation.get("calibration") or {}).get("bins") or [])
    if evaluation["task"] == "classify-multilabel":
        evaluation["most_wrong"] = [_with_lists(row) for row in evaluation["most_wrong"]]
    evaluation["label_errors_found"] = len(evaluation.get("label_errors") or [])
    evaluation["label_errors"] = (evaluation.get("label_errors") or [])[:LABEL_ERRORS]
    return evaluation


def _with_lists(row: dict[str, Any]) -> dict[str, Any]:
    truth, predicted = (tables_of_run.split_label(row[key]) for key in ("truth", "predicted"))
    return {**row, "truth": truth, "predicted": predicted}


def _add_intervals(bins: list[dict[str, Any]]) -> None:
    """Give each filled bin of the reliability diagram Wilson's interval of its accuracy."""
    for one in bins:
        if one.get("n") and one.get("accuracy") is not None:
            low, high = wilson(one["accuracy"] * one["n"], one["n"])
            one["accuracy_low"], one["accuracy_high"] = low, high


def _confusion(evaluation: dict[str, Any] | None) -> Confusion | None:
    found = evaluation.pop("confusion", None) if evaluation else None
    if not found:
        return None
    classes, matrix = [str(name) for name in found["classes"]], found["matrix"]
    keep = matrix if len(classes) <= LARGEST_MATRIX else None
    return Confusion(classes=classes, matrix=keep, pairs=confused_pairs(classes, matrix))


def confused_pairs(
    classes: list[str], matrix: list[list[int]], most: int = 20
) -> list[ConfusedPair]:
    """The wrong answers given most often: by count, then by share of the class.

    >>> confused_pairs(["a", "b"], [[8, 2], [0, 5]])
    [{'truth': 'a', 'predicted': 'b', 'n': 2, 'share': 0.2}]
    """
    pairs = [
        ConfusedPair(truth=classes[i], predicted=classes[j], n=n, share=n / sum(row))
        for i, row in enumerate(matrix)
        for j, n in enumerate(row)
        if i != j and n
    ]
    return sorted(pairs, key=lambda pair: (-pair["n"], -pair["share"]))[:most]


def _points(folder: Path, run: dict[str, Any]) -> Points | None:
    if run["task"] != "regress":
        return None
    return tables_of_run.read_points(folder / "predictions.csv")


def _right_answers(
    folder: Path, run: dict[str, Any], evaluation: dict[str, Any] | None, extras: Extras
) -> list[Answer]:
    if evaluation is None:
        return []
    mistakes = {row["sample_id"] for row in _shown_mistakes(evaluation)}
    pictures = extras.pictures.keys() - mistakes
    path = folder / "predictions.csv"
    return tables_of_run.right_answers(path, run["task"], pictures, RIGHT)


def _shown_mistakes(evaluation: dict[str, Any]) -> list[dict[str, Any]]:
    return [*evaluation["most_wrong"], *evaluation["label_errors"]]


def _pictures(
    pictures: Mapping[str, bytes], evaluation: dict[str, Any] | None, right: list[Answer]
) -> dict[str, DataUri]:
    if evaluation is None:
        return {}
    shown = [row["sample_id"] for row in [*_shown_mistakes(evaluation), *right]]
    return {
        sample_id: data_uri(*small_picture(pictures[sample_id]))
        for sample_id in dict.fromkeys(shown)
        if sample_id in pictures
    }


def _drawn_shown(one: Drawn) -> DrawnShown:
    picture, truth, answer = (
        data_uri(*small_picture(content, DRAWN_SIDE))
        for content in (one.picture, one.truth, one.answer)
    )
    return DrawnShown(
        sample_id=one.sample_id,
        kind=one.kind,
        words=one.words,
        more_words=one.more_words,
        picture=picture,
        truth=truth,
        answer=answer,
        scan=one.scan,
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: list(v) if isinstance(v, tuple) else v for key, v in row.items()}
