"""What decoders reach on three public sets of EEG, with splits that do not lie.

Studies by `vitreous train --protocol ... --seeds 5`, each named before it was run: EEGNet answers
for the set, the other networks stand beside it and none is chosen among them. Every study is beside
the classical decoders on the same folds, with the paired difference. Stopped after `--minutes` (or
by Ctrl-C) it goes on where it was when it is started again with the same WORK. One question or
one network at a time will do: what is not asked for stays in the table as it was kept.

    python -m benchmarks.eeg_scores WORK [--data DATA] [--minutes 4.5] [--only NAME] [--no-keep]
"""

import argparse
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.results import keep, kept_rows
from vitreous.errors import RequestError
from vitreous.runs.compare_studies import compare_studies
from vitreous.runs.study import Study
from vitreous.runs.train import train

CSP = "CSP and linear discriminant"
RIDGE = "ridge on log band power"
NETWORKS = ("eegnet", "shallowconvnet", "deep4", "basenet", "atcnet")
WITH_BANK = ("eegnet", "basenet", "atcnet")  # these alone can start at common spatial patterns
MOTOR = {"protocol": "within-session", "seeds": 5}
ALIGNED = {"align": "training", "learning_rate": 3e-3, "epochs": 100}
# chosen on another question, rest against movement, of the runs that the other question is about:
# left and right for fists and feet, fists and feet for left and right (decision 0020)
FROM_PATTERNS = {"weights": "csp", "band": "8,30", "resample": 128.0, "epochs": 100}
# the band that CSP beside it has, EEGNet's published sampling rate, its recipe's learning rate;
# that the start helps was seen on rest against movement (decision 0029), not on what is asked here
UCI = "uci_eeg_alcoholism"


@dataclass(frozen=True)
class Experiment:
    """A set, a question, and how it is to be answered; fixed before anything is trained."""

    name: str
    question: str
    folder: str
    settings: dict[str, Any]
    beside: str  # the classical decoder that its difference is told to
    networks: tuple[str, ...] = ("eegnet",)
    bar: float | None = None


EXPERIMENTS = (
    Experiment(
        "fists-feet",
        "imagined movement of both fists against both feet (physionet_eegbci_s001)",
        "physionet_eegbci_s001",
        {**MOTOR, "only": "R(06|10|14)", "events": "fists=T1,feet=T2"},
        CSP, NETWORKS, 0.90,
    ),
    Experiment(
        "fists-feet-aligned",
        "fists against feet, Euclidean alignment by training trials, 100 epochs at 3e-3",
        "physionet_eegbci_s001",
        {**MOTOR, **ALIGNED, "only": "R(06|10|14)", "events": "fists=T1,feet=T2"},
        CSP, bar=0.90,
    ),
    Experiment(
        "left-right",
        "imagined movement of the left against the right fist (physionet_eegbci_s001)",
        "physionet_eegbci_s001",
        {**MOTOR, "only": "R(04|08|12)", "events": "left=T1,right=T2"},
        CSP, NETWORKS, 0.62,
    ),
    Experiment(
        "left-right-aligned",
        "left against right fist, Euclidean alignment by training trials, 100 epochs at 3e-3",
        "physionet_eegbci_s001",
        {**MOTOR, **ALIGNED, "only": "R(04|08|12)", "events": "left=T1,right=T2"},
        CSP, bar=0.62,
    ),
    Experiment(
        "fists-feet-csp",
        "fists against feet, 8 to 30 Hz, started at common spatial patterns, 100 epochs",
        "physionet_eegbci_s001",
        {**MOTOR, **FROM_PATTERNS, "only": "R(06|10|14)", "events": "fists=T1,feet=T2"},
        CSP, NETWORKS, 0.90,
    ),
    Experiment(
        "left-right-csp",
        "left against right fist, 8 to 30 Hz, started at common spatial patterns, 100 epochs",
        "physionet_eegbci_s001",
        {**MOTOR, **FROM_PATTERNS, "only": "R(04|08|12)", "events": "left=T1,right=T2"},
        CSP, NETWORKS, 0.62,
    ),
    Experiment(
        "group",
        "alcoholic or control, each of 8 subjects left out once (uci_eeg_alcoholism)",
        UCI, {"label": "group", "protocol": "across-subjects", "seeds": 5}, RIDGE,
    ),
    Experiment(
        "stimulus",
        "which of three stimuli, each of 8 subjects left out once (uci_eeg_alcoholism)",
        UCI, {"protocol": "across-subjects", "seeds": 5}, RIDGE,
    ),
    Experiment(
        "fingers",
        "left or right finger, the official split (fingermovements_eeg)",
        "fingermovements_eeg",
        {"sampling_rate": 100.0, "protocol": "given", "seeds": 5}, RIDGE,
        ("eegnet", "shallowconvnet"),  # the others need trials longer than these 0.5 s
    ),
)  # fmt: skip


def studied(work: Path, data: Path, experiment: Experiment, network: str) -> Study:
    """The finished study: as it is there, gone on with, or trained from the start."""
    out = work / f"{experiment.name}-{network}"
    if (out / "study.json").is_file():
        study = Study.load(out)
        if study.finished:
            return study
        found = train(resume=out)
    else:
        settings = settings_of(experiment, network)
        found = train(data / experiment.folder, network=network, out=out, **settings)
    assert isinstance(found, Study)
    return found


def settings_of(experiment: Experiment, network: str) -> dict[str, Any]:
    """An experiment's settings for one network: those without a filter bank start as they do."""
    if network in WITH_BANK:
        return experiment.settings
    return {name: value for name, value in experiment.settings.items() if name != "weights"}


def row_of(experiment: Experiment, study: Study) -> dict[str, Any]:
    """The figures of one study, in one row."""
    found = study.evaluation
    assert found is not None
    accuracy, kappa, own = found["metrics"]["accuracy"], found["metrics"]["kappa"], found["study"]
    network = study.record["network"]
    seeds = own["per_seed"]
    other = found["baselines"][experiment.beside]["accuracy"]["value"]
    apart = own["differences"][experiment.beside]
    count = round(other * found["n"])
    other_start = len(settings_of(experiment, network)) < len(experiment.settings)
    row = {
        "what": f"{experiment.question}: {network}" + (" (random start)" if other_start else ""),
        "value": f"{_percent(accuracy)}, kappa {kappa['value']:.2f}",
        "spread": "seeds " + ", ".join(f"{100 * value:.1f}" for value in seeds["accuracy"]),
        "beside": f"{experiment.beside} {100 * other:.1f} % ({count} of {found['n']})",
        "difference": f"{100 * apart['accuracy']:+.1f} points ({100 * apart['low']:+.1f} to "
        f"{100 * apart['high']:+.1f})",
        "chance": own["permutation_test"]["sentence"],
        "trainings": sum(map(len, study.record["members"])),
        "minutes": round(study.record["seconds"] / 60, 1),
    }
    if experiment.bar is not None and network == "eegnet":
        row["bar"] = f"at least {100 * experiment.bar:.0f} %"
    return row


def baseline_rows(experiment: Experiment, study: Study) -> list[dict[str, Any]]:
    """The classical decoders of an experiment; they are the same for every network."""
    found = study.evaluation
    assert found is not None
    return [
        {
            "what": f"{experiment.question}: {name}",
            "value": f"{_percent(scores['accuracy'])}, "
            f"{round(scores['accuracy']['value'] * found['n'])} of {found['n']}",
        }
        for name, scores in found["baselines"].items()
    ]


def refused(data: Path, work: Path) -> dict[str, Any]:
    """What is said where the official split of UCI's set is asked for with a subject's label."""
    said = "it was trained"
    try:
        train(data / UCI, label="group", protocol="given", out=work / "refused", quiet=True)
    except RequestError as error:
        said = str(error)
    return {"what": "alcoholic or control on the official split, by default", "value": said,
            "bar": "refused"}  # fmt: skip


def with_kept(rows: list[dict[str, Any]], kept: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """These rows and those that were kept before and not measured now, in the table's order."""
    found = {row["what"]: row for row in (*kept, *rows)}
    return sorted(found.values(), key=lambda row: place_of(row["what"]))


def place_of(what: str) -> tuple[int, int]:
    """Where a row belongs: by its question, then networks as they are named, then the others."""
    for k, experiment in enumerate(EXPERIMENTS):
        if what.startswith(f"{experiment.question}: "):
            name = what.removeprefix(f"{experiment.question}: ").split()[0]
            networks = (*experiment.networks, name)
            return k, networks.index(name)
    return len(EXPERIMENTS), 0


def _percent(score: dict[str, Any]) -> str:
    return f"{100 * score['value']:.1f} % ({100 * score['low']:.1f} to {100 * score['high']:.1f})"


def _stop(number: int, frame: Any) -> None:
    del number, frame
    raise KeyboardInterrupt


def main() -> None:
    """Go on with what is not finished; write the table when everything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("VITREOUS_DATA", "data")))
    parser.add_argument("--minutes", type=float, help="stop after so many; the next call goes on")
    parser.add_argument("--only", action="append", help="experiments by name; by default all")
    parser.add_argument("--networks", action="append", help="networks; by default those named")
    parser.add_argument("--no-keep", action="store_true")
    asked = parser.parse_args()
    if asked.minutes is not None:
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, 60 * asked.minutes)
    chosen = [one for one in EXPERIMENTS if not asked.only or one.name in asked.only]
    rows: list[dict[str, Any]] = []
    try:
        for experiment in chosen:
            networks = [n for n in experiment.networks if not asked.networks or n in asked.networks]
            studies = [studied(asked.work, asked.data, experiment, name) for name in networks]
            rows += [row_of(experiment, study) for study in studies]
            for row, study in zip(rows[-len(studies) + 1 :], studies[1:], strict=False):
                difference = compare_studies(study, studies[0])["accuracy"].difference
                row["less eegnet"] = str(difference)
            rows += baseline_rows(experiment, studies[0])
    except KeyboardInterrupt:
        print("stopped; the same command goes on")
        return
    rows.append(refused(asked.data, asked.work))
    if asked.no_keep:
        print(*rows, sep="\n")
        return
    keep(
        "eeg_scores",
        "What do decoders reach on public EEG, with splits that do not lie?",
        with_kept(rows, kept_rows("eeg_scores")),
        "EEGNet was named beforehand for each question, the others stand beside it. Intervals are "
        "over subjects where there are several, else over trials; accuracies are means over 5 "
        "seeds. Minutes are of the whole study, on a machine that did other things meanwhile. "
        "Where a question has several recipes, they were named one after the other, as their order "
        "is here: the later ones after the earlier ones had missed the bar. Questions and networks "
        "were measured one after the other; a row stays until it is measured again.",
        command="python -m benchmarks.eeg_scores WORK --data DATA",
    )


if __name__ == "__main__":
    main()
