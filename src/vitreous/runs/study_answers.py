"""A study asked about other recordings: its runs answer, and their answers are averaged."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.errors import RequestError
from vitreous.evaluation.evaluation import WHOLE
from vitreous.runs.evaluate import answers_for, default_name, keep_scores, labelled_source
from vitreous.runs.predict import Prediction
from vitreous.runs.predict_trials import predict_together
from vitreous.runs.predict_volumes import predict_scans
from vitreous.runs.run import Run
from vitreous.runs.score_volumes import evaluate_scans_on
from vitreous.runs.scoring import probabilities, score, with_kappa, write_predictions
from vitreous.runs.study import Study
from vitreous.runs.talk import OnProgress, Talk
from vitreous.runs.whole_scans import predict_whole_scans


def first_run(study: Study) -> Run:
    """One of the study's runs; they have classes and formats in common.

    Raises `RequestError` where none is finished.
    """
    runs = study.runs
    if not runs:
        raise RequestError(
            f"{study.folder}: none of its runs is finished; "
            f"go on with `vitreous train --resume {study.folder}`"
        )
    return runs[0]


def predict_study(
    study: Study,
    inputs: Sequence[str | Path],
    device: str | None = None,
    on_progress: OnProgress | None = None,
    *,
    viewed: bool = False,
) -> Iterator[Prediction]:
    """The mean of the probabilities that the study's runs give; what is asked is read once.

    Of scans with masks they are `predict_volumes.ScanPrediction`s, and progress counts planes;
    with `viewed` each has what a page shows of it.
    """
    first = first_run(study)
    names = [str(each) for each in inputs]
    if first.of_scans and first.record.task == "segment":
        found = predict_scans(study.runs, names, device, on_progress, viewed=viewed)
        return found  # type: ignore[return-value]
    if first.of_scans:
        return predict_whole_scans(study.runs, names, device)
    return predict_together(study.runs, inputs, device)


def evaluate_study(
    study: Study,
    data: Path | None = None,
    *,
    name: str | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> dict[str, Any]:
    """Scores of all folds together; with `data`, of the averaged networks on later recordings.

    The latter are written to evaluation-NAME.json. Raises `RequestError` where the study is not
    finished.
    """
    if data is None:
        if study.evaluation is None:
            raise RequestError(
                f"{study.folder}: is {study.record['status']}; go on with "
                f"`vitreous train --resume {study.folder}`"
            )
        return study.evaluation
    talk = Talk(quiet)
    run = first_run(study)
    if run.of_scans and run.record.task == "segment":
        return evaluate_scans_on(
            Run(study.folder, run.record), data, name=name, group=None, max_skipped=1.0,
            device=device, talk=talk, together=study.runs,
        )  # fmt: skip
    source = labelled_source(run, data, None)  # read once for all runs
    first, *others = study.runs
    unheard = Talk(quiet=True)
    found = [
        answers_for(first, source, group=None, max_skipped=1.0, device=device, talk=talk,
                    together=[first, *others]),
        *(
            answers_for(one, source, group=None, max_skipped=1.0, device=device, talk=unheard)
            for one in others
        ),
    ]  # fmt: skip
    shares = np.mean([probabilities(answers, run.task) for answers, _ in found], axis=0)
    answers = replace(found[0][0], logits=np.log(np.maximum(shares, 1e-12)), temperature=1.0)
    called = name or default_name(data)
    evaluation = score(answers, run.task, None, seed=run.record.seed, name=called, split=WHOLE)
    evaluation = with_kappa(evaluation, answers, run.task, run.record.seed)
    evaluation = replace(evaluation, warnings=(*found[0][1], *evaluation.warnings))
    write_predictions(study.folder / f"predictions-{called}.csv", answers, run.task)
    return keep_scores(Run(study.folder, run.record), evaluation, called, talk)
