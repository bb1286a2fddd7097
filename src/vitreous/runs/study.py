"""A study: cross-validation over folds and seeds, a run each, with scores of all together."""

import copy
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

from torch import nn

from vitreous.data.folds import Fold
from vitreous.data.samples import Source
from vitreous.errors import DataError, RequestError, VitreousError
from vitreous.files import read_json, write_json
from vitreous.insight.eeg_listening import Listening
from vitreous.report.study import write_study_report
from vitreous.runs.aligning import transductive_words, with_alignment
from vitreous.runs.finish import baselines_of
from vitreous.runs.folders import given_path, new_folder
from vitreous.runs.listening import ends_of, listening_of_study
from vitreous.runs.prepare import open_source, prepared_fold, refuse_too_many_skipped
from vitreous.runs.record import FORMAT, RunRecord, command_line, versions
from vitreous.runs.request import TrainRequest
from vitreous.runs.result_table import write_result_table
from vitreous.runs.run import Run
from vitreous.runs.seen import seen_warnings
from vitreous.runs.set_up import task_of, training_data
from vitreous.runs.study_scores import (
    beaten_by,
    guessing_is_punished,
    pool,
    read_answers,
    read_baselines,
    score_study,
    write_baselines,
)
from vitreous.runs.talk import Talk
from vitreous.runs.train import Member, go_on, refuse_new_settings, start
from vitreous.runs.trials import Divided, divide, trial_store, trials_of
from vitreous.training.devices import hardware
from vitreous.training.processes import Processes


@dataclass
class Study:
    """The folder of a study: `study.json`, a run a fold and seed, and their scores together."""

    folder: Path
    record: dict[str, Any]

    @staticmethod
    def load(folder: Path | str) -> "Study":
        """The study in a folder. Raises `DataError` where it is none, or of another version."""
        path = Path(folder) / "study.json"
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DataError(f"{path}: is no study of format {FORMAT}")
        return Study(Path(folder), record)

    @property
    def evaluation(self) -> dict[str, Any] | None:
        """evaluation.json of all folds together; None while runs are missing."""
        path = self.folder / "evaluation.json"
        return read_json(path) if path.is_file() else None

    @property
    def runs(self) -> list[Run]:
        """The runs that are finished, fold by fold and seed by seed."""
        names = [name for row in self.record["members"] for name in row]
        found = [self.folder / name for name in names]
        return [run for run in map(Run.load, filter(_begun, found)) if run.finished]

    @property
    def finished(self) -> bool:
        """Whether all runs are done and scored together."""
        return self.record["status"] == "finished"

    @property
    def data_root(self) -> str:
        """Where the data lies."""
        return self.record["data"]["root"]

    @property
    def words(self) -> str:
        """The study in one sentence."""
        folds, seeds = len(self.record["members"]), len(self.record["seeds"])
        return f"{self.record['network']}, {self.record['protocol']['name']}, {folds} folds, " + (
            f"{seeds} seeds" if seeds > 1 else "one seed"
        )

    def write(self) -> None:
        """Write study.json atomically."""
        write_json(self.folder / "study.json", self.record)


def train_study(
    data: str | Path | Source | None,
    request: TrainRequest,
    own: nn.Module | None,
    out: str | Path | None,
    resume: str | Path | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
) -> Study:
    """Train a run a fold and seed, or go on with a study, and score them together.

    Raises as `train` does, and `RequestError` for pictures and where several processes share a run.
    """
    if processes.several:
        raise RequestError("a study trains its runs one after the other; start it without torchrun")
    began = time.monotonic()
    if resume is not None:
        study = Study.load(resume)
        request = TrainRequest.from_json(study.record["request"])
        where = data if isinstance(data, Source) else Path(data or study.record["data"]["given"])
    else:
        where = data if isinstance(data, Source) else Path(str(data))
        study = None
    source = open_source(where, request, talk)
    if source.volumes is not None:
        from vitreous.runs.scan_study import train_scan_study

        return train_scan_study(study, source, where, request, own, out, log, processes, talk)
    divided = divided_data(source, request, talk)
    begun = study is not None
    if study is None:
        study = new_study(new_folder(out, where), where, divided, request)
    elif study.record["data"]["fingerprint"] != divided.store.fingerprint:
        raise DataError(
            f"{divided.source.root}: is not the data that {study.folder} was started on; "
            "start a new study"
        )
    from vitreous.runs.together import train_missing

    before = study.record.get("seconds", 0.0)

    def keep() -> None:
        """Write down how far it came and how long all of it took, whatever stops it next."""
        study.record["seconds"] = round(before + time.monotonic() - began, 1)
        study.write()

    try:
        train_missing(study, where, divided, request, own, log, processes, talk, keep)
    except BaseException as error:
        keep()
        stop_study(study, error, begun, talk)
        raise
    listening = finish_study(study, divided, own, talk)
    study.record["status"] = "finished"
    keep()
    write_study_report(study.folder, study.record, study.evaluation or {}, listening)
    return study


def stop_study(study: Study, error: BaseException, begun: bool, talk: Talk) -> None:
    """Leave a study so that it can go on, and say how; one that is refused at once leaves nothing.

    A run whose request does not fit the data leaves no folder, and so does a new study of them.
    """
    members = [study.folder / name for row in study.record["members"] for name in row]
    if not begun and isinstance(error, VitreousError) and not any(map(_begun, members)):
        shutil.rmtree(study.folder)
        return
    study.record["status"] = "interrupted"
    study.write()
    talk.say(f"stopped after {len(study.runs)} of {len(members)} runs; go on with "
             f"`vitreous train --resume {study.folder}`")  # fmt: skip


def divided_data(source: Source, request: TrainRequest, talk: Talk) -> Divided:
    """The data of a study with all folds. Raises `RequestError` where it holds no trials."""
    if source.trials is None:
        raise RequestError(
            f"{source.root}: --protocol, --folds and --seeds are for recordings (--folds for whole "
            "scans, too); pictures are trained once, on one split"
        )
    if source.label_kind != "class":
        raise RequestError(
            f"{source.root}: a study needs one class a trial; train a single run, without "
            "--protocol, --folds and --seeds"
        )
    store = trial_store(source)
    refuse_too_many_skipped(source, store, request.max_skipped, talk)
    return divide(source, request, talk, store)


def new_study(folder: Path, where: Path | Source, divided: Divided, request: TrainRequest) -> Study:
    """A study that has not begun, its plan written down."""
    seeds = list(range(request.seed, request.seed + request.seeds))
    study = Study(
        folder,
        {
            "format": FORMAT,
            "status": "running",
            "network": request.network or "eegnet",
            "protocol": {"name": divided.protocol.name, "words": divided.how},
            "folds": [
                {
                    "name": fold.name,
                    **{part: len(fold.rows(part)) for part in ("train", "val", "test")},
                    "left_out": len(fold.left_out),
                }
                for fold in divided.folds
            ],
            "seeds": seeds,
            "members": [
                [member_name(k, seed) for seed in seeds] for k in range(len(divided.folds))
            ],
            "classes": list(divided.source.classes),
            "data": {
                "given": str(given_path(where)),
                "root": str(divided.source.root),
                "why": divided.source.why,
                "fingerprint": divided.store.fingerprint,
                "trials": trials_of(divided.source).format_json(),
                "duplicates": len(divided.duplicates),
                "warnings": list(divided.warnings),
            },
            "request": request.to_json(),
            "versions": versions(),
            "hardware": hardware(),
            "command": command_line(),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )
    study.write()
    return study


def member_name(fold: int, seed: int) -> str:
    """The folder of a member in its study."""
    return f"fold-{fold}-seed-{seed}"


def train_members(
    study: Study,
    divided: Divided,
    request: TrainRequest,
    own: nn.Module | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
    only: Sequence[str] | None = None,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Every run (`only` those) that is not finished yet; each is told, and kept, when done."""
    quiet = Talk(quiet=True)
    total = len(divided.folds) * len(study.record["seeds"])
    done, taken = 0, []

    def is_left(folder: Path) -> bool:
        return (only is None or folder.name in only) and not is_finished(folder)

    for k, fold in enumerate(divided.folds):
        if not any(is_left(study.folder / name) for name in study.record["members"][k]):
            done += len(study.record["seeds"])
            continue
        prepared = with_alignment(prepared_fold(divided, fold), request.align, quiet)
        member = Member(prepared, {}, first=False)
        for seed in study.record["seeds"]:
            folder = study.folder / member_name(k, seed)
            done += 1
            if not is_left(folder):
                continue
            if not member.baselines:
                member = replace(member, baselines=_baselines(study, fold, k, member))
            member = replace(member, first=done == 1)
            started = time.monotonic()
            module = copy.deepcopy(own)  # each starts from the same weights
            if _begun(folder):
                go_on(folder, divided.source, module, log, processes, quiet, member)
            else:
                folder.mkdir(exist_ok=True)
                single = replace(request, seed=seed, seeds=1, protocol=None, folds=None)
                start(folder, divided.source, single, module, log, processes, quiet, member)
            taken.append(time.monotonic() - started)
            keep()
            left = (total - done) * sum(taken) / len(taken)
            talk.say(f"{done} of {total}: {run_words(study, folder.name)}, {taken[-1]:.0f} s, "
                     f"about {left / 60:.1f} min left")  # fmt: skip


def _baselines(study: Study, fold: Fold, k: int, member: Member) -> dict[str, Any]:
    """What the baselines answer on a fold: found once, kept beside its runs."""
    task = task_of(member.prepared)
    examples = training_data(member.prepared, task)
    found = baselines_of(member.prepared, examples, task, study.record["seeds"][0])
    samples = member.prepared.samples(fold.rows("test"))
    write_baselines(study.folder / f"fold-{k}-baselines.csv", found, samples, task.classes)
    return found


def finish_study(study: Study, divided: Divided, own: nn.Module | None, talk: Talk) -> Listening:
    """Score all runs together and write evaluation.json; what the decoders listen to."""
    classes = study.record["classes"]
    trials = trials_of(divided.source)
    answers = [
        [read_answers(study.folder / name / "predictions.csv", classes) for name in row]
        for row in study.record["members"]
    ]
    tables = [
        read_baselines(study.folder / f"fold-{k}-baselines.csv", classes)
        for k in range(len(divided.folds))
    ]
    pooled = pool(
        divided.source.samples, trials.facts, divided.folds, answers, tables, classes,
        trials.of_subjects,
    )  # fmt: skip
    seeds: Sequence[int] = study.record["seeds"]
    found = score_study(pooled, classes, divided.folds, seeds, study.record["request"]["seed"])
    study.record["network"] = RunRecord.read(study.folder / member_name(0, seeds[0])).network[
        "name"
    ]
    transductive = transductive_words(study.runs)
    write_result_table(
        study.folder / "results.csv",
        pooled,
        network=study.record["network"] + (" (transductive)" if transductive else ""),
        dataset=Path(study.data_root).name,
        channels=len(trials.channels),
        training_trials={k: len(fold.rows("train")) for k, fold in enumerate(divided.folds)},
        seconds=_seconds_of_folds(study),
    )
    accuracy = found["metrics"]["accuracy"]
    interval = ends_of(accuracy["low"], accuracy["high"])
    listening = listening_of_study(study, divided, interval, own)
    alarm = listening.alarm
    alarms = [alarm.words] if alarm and alarm.raised else []
    beaten = beaten_by(found["study"]["differences"], study.record["request"]["weights"])
    new = [*alarms, *beaten, *guessing_is_punished(found)]
    for words in new:
        talk.warn(words)
    seen = seen_warnings(study.runs[0], pooled.samples)
    said = [*new, *seen, *transductive, *divided.warnings]
    found["warnings"] = [*said, *found["warnings"]]
    write_json(study.folder / "evaluation.json", found)
    talk.say(found["study"]["permutation_test"]["sentence"])
    return listening


def _seconds_of_folds(study: Study) -> dict[int, float]:
    """Mean seconds of a training in each fold."""
    return {
        k: mean(RunRecord.read(study.folder / name).seconds["train"] for name in names)
        for k, names in enumerate(study.record["members"])
    }


def run_words(study: Study, name: str) -> str:
    """What a finished run scored, in words."""
    (fold, seed), *_ = [
        (fold, seed)
        for fold, row in zip(study.record["folds"], study.record["members"], strict=True)
        for seed, member in zip(study.record["seeds"], row, strict=True)
        if member == name
    ]
    found = read_json(study.folder / name / "evaluation.json")["metrics"]["accuracy"]["value"]
    return f"{fold['name']}, seed {seed}: accuracy {found:.3f} of {fold['test']} trials"


def is_finished(folder: Path) -> bool:
    """Whether a run is there with nothing left to do."""
    return _begun(folder) and Run(folder, RunRecord.read(folder)).finished


def _begun(folder: Path) -> bool:
    return (folder / "run.json").is_file()


__all__ = ["Study", "refuse_new_settings", "train_study"]
