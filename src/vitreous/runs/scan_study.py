"""Cross-validation of scans: a run a fold of patients, scored together, answering together."""

import copy
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from vitreous.data.folds import Fold
from vitreous.data.leaks import clusters
from vitreous.data.patient_folds import patient_folds
from vitreous.data.samples import Sample, Source
from vitreous.errors import DataError, RequestError
from vitreous.evaluation.evaluate import evaluate_classes
from vitreous.evaluation.evaluate_volumes import evaluate_volumes
from vitreous.evaluation.evaluation import Evaluation
from vitreous.evaluation.volumes import VolumeComparison
from vitreous.files import read_json, write_json
from vitreous.report.scan_study import write_scan_study_report
from vitreous.runs.folders import given_path, new_folder
from vitreous.runs.predict import read_predictions
from vitreous.runs.prepare import Prepared
from vitreous.runs.record import FORMAT, RunRecord, command_line, versions
from vitreous.runs.request import TrainRequest
from vitreous.runs.study import Study, is_finished, member_name, stop_study
from vitreous.runs.study_scores import read_answers
from vitreous.runs.talk import Talk
from vitreous.runs.train import Member, go_on, start
from vitreous.runs.volumes import prepare_scans
from vitreous.training.devices import hardware
from vitreous.training.processes import Processes

USUAL_FOLDS = 5
WATCHED = {"mask": "dice", "class": "accuracy"}  # what is said of each fold


def train_scan_study(
    study: Study | None,
    source: Source,
    where: Path | Source,
    request: TrainRequest,
    own: nn.Module | None,
    out: str | Path | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
) -> Study:
    """Train a run a fold (each with the time or epochs asked for), or go on; score all together.

    Raises `RequestError` for what only recordings have, and `DataError` where patients are too few.
    """
    _refuse_for_scans(source, request)
    began = time.monotonic()
    prepared = prepare_scans(source, request, talk)
    divided = patient_folds(
        source.samples, request.folds or USUAL_FOLDS, seed=request.seed,
        usable=prepared.cache.usable, together=clusters(prepared.duplicates),
    )  # fmt: skip
    fingerprint = prepared.cache.fingerprint
    begun = study is not None
    if study is None:
        folder = new_folder(out, where)
        study = Study(folder, _record(where, source, prepared, divided, request))
        study.write()
    elif study.record["data"]["fingerprint"] != fingerprint:
        raise DataError(
            f"{source.root}: is not the data that {study.folder} was started on; start a new study"
        )
    before = study.record.get("seconds", 0.0)
    try:
        _train_members(study, prepared, divided, request, own, log, processes, talk)
    except BaseException as error:
        study.record["seconds"] = round(before + time.monotonic() - began, 1)
        stop_study(study, error, begun, talk)
        raise
    evaluation = score_scan_study(study, source, divided)
    write_json(study.folder / "evaluation.json", evaluation)
    study.record["network"] = RunRecord.read(study.folder / member_name(0, request.seed)).network[
        "name"
    ]
    study.record["status"] = "finished"
    study.record["seconds"] = round(before + time.monotonic() - began, 1)
    study.write()
    write_scan_study_report(study.folder, study.record, evaluation)
    return study


def _refuse_for_scans(source: Source, request: TrainRequest) -> None:
    for flag, given in (("--protocol", request.protocol), ("--seeds", request.seeds > 1)):
        if given:
            raise RequestError(
                f"{source.root}: {flag} is for recordings; scans are divided by patient: --folds 5"
            )
    if source.label_kind not in WATCHED:
        raise RequestError(
            f"{source.root}: --folds: scans need masks or one class each, these have "
            f"'{source.label_kind}'; train a single run"
        )


def _record(
    where: Path | Source,
    source: Source,
    prepared: Prepared,
    divided: Sequence[Fold],
    request: TrainRequest,
) -> dict[str, Any]:
    """What study.json says before any run is done."""
    parts: tuple[Any, ...] = ("train", "val", "test")
    return {
        "format": FORMAT,
        "kind": "scans",
        "status": "running",
        "network": request.network or "unet",
        "protocol": {
            "name": "folds",
            "words": f"{len(divided)} parts by patient, each tested once; seed {request.seed}",
        },
        "folds": [
            {"name": fold.name, "left_out": 0, **{part: len(fold.rows(part)) for part in parts}}
            for fold in divided
        ],
        "seeds": [request.seed],
        "members": [[member_name(k, request.seed)] for k in range(len(divided))],
        "classes": list(source.classes),
        "data": {
            "given": str(given_path(where)),
            "root": str(source.root),
            "why": source.why,
            "label_kind": source.label_kind,
            "fingerprint": prepared.cache.fingerprint,
            "duplicates": len(prepared.duplicates),
            "warnings": list(source.warnings),
        },
        "request": request.to_json(),
        "versions": versions(),
        "hardware": hardware(),
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _train_members(
    study: Study,
    prepared: Prepared,
    divided: Sequence[Fold],
    request: TrainRequest,
    own: nn.Module | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
) -> None:
    """Every run that is not finished yet; each is told when done."""
    quiet = Talk(quiet=True)
    single = replace(request, folds=None)
    for k, fold in enumerate(divided):
        folder = study.folder / member_name(k, request.seed)
        if is_finished(folder):
            continue
        how = f"{study.record['protocol']['words']}; test: {fold.name}"
        part = replace(prepared, split=fold.split, split_how=how)
        member = Member(part, None, first=k == 0)
        module = copy.deepcopy(own)
        began = time.monotonic()
        if (folder / "run.json").is_file():
            go_on(folder, prepared.source, module, log, processes, quiet, member)
        else:
            folder.mkdir(exist_ok=True)
            start(folder, prepared.source, single, module, log, processes, quiet, member)
        name = WATCHED[prepared.source.label_kind]
        found = read_json(folder / "evaluation.json")["metrics"][name]["value"]
        talk.say(
            f"{fold.name}: {name} {found:.3f} of {len(fold.rows('test'))} scans, "
            f"{time.monotonic() - began:.0f} s"
        )


def score_scan_study(study: Study, source: Source, divided: Sequence[Fold]) -> dict[str, Any]:
    """The content of evaluation.json: as a run's, of all scans, each by the run that had not seen
    it; under "study" the folds.
    """
    rows = [(k, int(row)) for k, fold in enumerate(divided) for row in fold.rows("test")]
    samples = [source.samples[row] for _, row in rows]
    folders = [study.folder / names[0] for names in study.record["members"]]
    judge = _judged_masks if source.label_kind == "mask" else _judged_classes
    evaluation = judge(folders, [k for k, _ in rows], samples, study.record)
    warnings = (*source.warnings, *evaluation.warnings)
    name = WATCHED[source.label_kind]
    folds = []
    for fold, folder in zip(divided, folders, strict=True):
        found = read_json(folder / "evaluation.json")["metrics"][name]
        ends = {key: found.get(key) for key in ("value", "low", "high")}
        folds.append({"name": fold.name, "metric": name, "n": len(fold.rows("test")), **ends})
    found = replace(evaluation, warnings=warnings).to_json()
    return found | {"study": {"seeds": study.record["seeds"], "per_fold": folds}}


def _groups(samples: Sequence[Sample]) -> list[str | None] | None:
    groups = [sample.group for sample in samples]
    return groups if any(group is not None for group in groups) else None


def _judged_masks(
    folders: Sequence[Path], fold_of: Sequence[int], samples: Sequence[Sample], record: dict
) -> Evaluation:
    tables = [comparisons_in(folder / "predictions.csv", record["classes"]) for folder in folders]
    found = [tables[k][sample.sample_id] for k, sample in zip(fold_of, samples, strict=True)]
    evaluation = evaluate_volumes(
        found,
        classes=record["classes"],
        sample_ids=[sample.sample_id for sample in samples],
        groups=_groups(samples),
        name="study",
        split="each fold's test part",
        seed=record["seeds"][0],
    )
    return replace(evaluation, pictures=())  # the runs' own reports show them


def comparisons_in(path: Path, classes: Sequence[str]) -> dict[str, VolumeComparison]:
    """What predictions.csv says of each scan, by sample id. Raises `DataError`."""
    columns = ("true_ml", "ml", "dice", "surface_dice", "hausdorff95_mm")
    number = {name: place for place, name in enumerate(classes)}
    values: dict[str, np.ndarray] = {}
    try:
        for row in read_predictions(path):
            known = values.setdefault(row["sample_id"], np.full((5, len(classes)), np.nan))
            cells = [float(row[name]) if row[name] else np.nan for name in columns]
            known[:, number[row["class"]]] = cells
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: is no table of these structures ({error})") from None
    return {
        name: VolumeComparison(
            dice=one[2], surface_dice=one[3], hausdorff95=one[4], true_ml=np.nan_to_num(one[0]),
            answered_ml=np.nan_to_num(one[1]), accuracy=float("nan"),
        )
        for name, one in values.items()
    }  # fmt: skip


def _judged_classes(
    folders: Sequence[Path], fold_of: Sequence[int], samples: Sequence[Sample], record: dict
) -> Evaluation:
    classes = record["classes"]
    tables = [read_answers(folder / "predictions.csv", classes) for folder in folders]
    shares = np.stack(
        [tables[k][sample.sample_id] for k, sample in zip(fold_of, samples, strict=True)]
    )
    truth = np.array([classes.index(str(sample.label)) for sample in samples])
    return evaluate_classes(
        truth,
        np.log(np.maximum(shares, 1e-12)),
        classes=classes,
        sample_ids=[sample.sample_id for sample in samples],
        groups=_groups(samples),
        name="study",
        split="each fold's test part",
        seed=record["seeds"][0],
    )
