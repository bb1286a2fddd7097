"""What the decoder of a run, or all those of a study, listen to: networks and data put together."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from vitreous.data.alignment import Alignment
from vitreous.data.recordings import Trials
from vitreous.data.transforms import Scaling, TrialScaling
from vitreous.errors import RequestError
from vitreous.evaluation.scores import Score
from vitreous.inference import Compute, Views, outputs_of_rows
from vitreous.insight.eeg_ablation import (
    Ablation,
    Alarm,
    Taken,
    ablation,
    artefact_alarm,
    bands_taken,
    channels_taken,
)
from vitreous.insight.eeg_filters import KernelSpectrum, kernel_spectra
from vitreous.insight.eeg_listening import Head, Listening, heads_of
from vitreous.runs.aligning import alignment_of, groups_of
from vitreous.runs.prepare import Prepared
from vitreous.runs.run import Run
from vitreous.runs.trials import Divided, trials_of
from vitreous.tasks import Task
from vitreous.training.devices import serving_compute
from vitreous.training.loop import Training

if TYPE_CHECKING:
    from vitreous.runs.study import Study

MOST_TESTED = 1000  # test trials of a fold that are answered again without each part
FOLDS_SHOWN = 6  # of a study, one map each


@dataclass(frozen=True)
class Decoder:
    """A network with all that leads from trials as they were cut to its answers."""

    network: nn.Module
    scaling: Scaling | TrialScaling
    compute: Compute
    views: Views
    alignment: Alignment | None = None

    def right(self, trials: np.ndarray, groups: Sequence[str], truth: np.ndarray) -> np.ndarray:
        """Whether each of the trials (n, channels, time) is answered rightly, bool (n,).

        They are aligned as the trials of their `groups` (subject and session) are.
        """
        if self.alignment is not None:
            trials = self.alignment.apply(trials, groups)
        rows = np.arange(len(trials))
        outputs = outputs_of_rows(
            self.network, trials[:, None], rows, self.scaling, self.compute, self.views
        )
        return outputs.numpy().argmax(axis=1) == truth

    @property
    def matrix(self) -> np.ndarray:
        """What makes the network's inputs of the signals as recorded, (channels, channels)."""
        scaled = np.diag(1 / np.array(self.scaling.std))
        return scaled if self.alignment is None else scaled @ self.alignment.elsewhere


@dataclass(frozen=True)
class Tested:
    """Rows that several decoders were tested on."""

    rows: np.ndarray
    decoders: Sequence[Decoder]


def listening_of_run(
    prepared: Prepared, training: Training, task: Task, accuracy: Score | None = None
) -> Listening | None:
    """What a trained decoder listens to; None for pictures and for other tasks than classes.

    `accuracy` is its score on the test part; without it nothing is taken away from the test trials.
    """
    if prepared.source.trials is None or task.name != "classify":
        return None
    trials = trials_of(prepared.source)
    decoder = Decoder(
        training.network,
        training.data.scaling,
        training.compute,
        training.recipe.views,
        prepared.alignment,
    )
    classes = task.encode([sample.label for sample in prepared.source.samples]).numpy()
    rows = prepared.rows("train")
    spectra: list[KernelSpectrum] = []
    heads: list[Head] = []
    with suppress(RequestError):  # a user's own network may have no such layers
        spectra = kernel_spectra(decoder.network, trials.sampling_rate_hz, trials.kept_hz)
        heads = heads_of(
            decoder.network, trials.values[rows], classes[rows], decoder.matrix,
            trials.sampling_rate_hz, kept_hz=trials.kept_hz,
        )  # fmt: skip
    found = _listening("this network", trials, spectra, heads)
    if accuracy is None:
        return found
    tested = [Tested(prepared.rows("test"), [decoder])]
    groups = [sample.group for sample in prepared.source.samples]
    return _with_worth(found, tested, trials, classes, groups, ends_of(accuracy.low, accuracy.high))


def listening_of_study(
    study: "Study",
    divided: Divided,
    interval: tuple[float, float] | None,
    own: nn.Module | None = None,
) -> Listening:
    """What the decoders of a finished study listen to: all networks, each on its own test trials.

    `interval` is that of the study's accuracy. One map is shown of each fold's first network.
    """
    trials, samples = trials_of(divided.source), divided.source.samples
    numbers = {name: number for number, name in enumerate(study.record["classes"])}
    classes = np.array([numbers[str(sample.label)] for sample in samples])
    spectra: list[KernelSpectrum] = []
    heads: list[Head] = []
    tested: list[Tested] = []
    for fold, names in zip(divided.folds, study.record["members"], strict=True):
        decoders = [decoder_of(Run.load(study.folder / name, own)) for name in names]
        tested.append(Tested(fold.rows("test"), decoders))
        rows = fold.rows("train")
        with suppress(RequestError):
            for decoder in decoders:
                spectra += kernel_spectra(decoder.network, trials.sampling_rate_hz, trials.kept_hz)
            if len(heads) < FOLDS_SHOWN:
                heads += heads_of(
                    decoders[0].network, trials.values[rows], classes[rows], decoders[0].matrix,
                    trials.sampling_rate_hz, kept_hz=trials.kept_hz, most=1,
                    title=f"{fold.name}, ",
                )  # fmt: skip
    count = sum(map(len, study.record["members"]))
    found = _listening(f"{count} networks", trials, spectra, heads)
    groups = [sample.group for sample in samples]
    return _with_worth(found, tested, trials, classes, groups, interval)


def ends_of(low: float | None, high: float | None) -> tuple[float, float] | None:
    """A score's interval; None where it has none."""
    return None if low is None or high is None else (low, high)


def decoder_of(run: Run) -> Decoder:
    """A finished run's network, on the path on which it answers."""
    compute = serving_compute(run.record.compute)
    network = copy.deepcopy(run.network) if run.own_network is not None else run.network
    place, views = compute.place(network), run.views
    return Decoder(place, run.scaling, compute, views, alignment_of(run))


def _listening(
    whose: str, trials: Trials, spectra: Sequence[KernelSpectrum], heads: Sequence[Head]
) -> Listening:
    return Listening(
        whose, trials.kept_hz, trials.channels, trials.positions_m, tuple(spectra),
        tuple(heads),
    )  # fmt: skip


def _with_worth(
    found: Listening,
    tested: Sequence[Tested],
    trials: Trials,
    classes: np.ndarray,
    groups: Sequence[str | None],
    interval: tuple[float, float] | None,
) -> Listening:
    """With what each band and group of channels is worth on the test trials, and the alarm.

    `interval` is that of the accuracy: the alarm is silent where it covers chance.
    """
    tested = [Tested(_some(part.rows), part.decoders) for part in tested]
    rows = np.concatenate([part.rows for part in tested])
    ablations = _worth(tested, trials, classes, [groups[row] for row in rows])
    chance = float(np.bincount(classes[rows]).max() / len(rows))
    alarm: Alarm = artefact_alarm(ablations, chance, interval)
    return replace(found, ablations=tuple(ablations), alarm=alarm, tested=len(rows))


def _worth(
    tested: Sequence[Tested], trials: Trials, classes: np.ndarray, groups: Sequence[str | None]
) -> list[Ablation]:
    aligned_with = groups_of(trials.facts)
    whole: list[np.ndarray] = []
    without: dict[str, tuple[Taken, list[np.ndarray]]] = {}
    for part in tested:
        values, truth = trials.values[part.rows], classes[part.rows]
        placed = [aligned_with[row] for row in part.rows]
        whole.append(_rights(part, values, placed, truth))
        for taken in _all_taken(values, trials):
            nothing = replace(taken, trials=values[:0])  # its trials are needed once only
            without.setdefault(taken.name, (nothing, []))[1].append(
                _rights(part, taken.trials, placed, truth)
            )
    right = np.concatenate(whole, axis=1)
    return [
        ablation(taken, right, np.concatenate(rights, axis=1), groups)
        for taken, rights in without.values()
    ]


def _all_taken(values: np.ndarray, trials: Trials) -> Iterator[Taken]:
    return chain(
        bands_taken(values, trials.sampling_rate_hz, kept_hz=trials.kept_hz),
        channels_taken(values, trials.channels),
    )


def _rights(
    part: Tested, values: np.ndarray, groups: Sequence[str], truth: np.ndarray
) -> np.ndarray:
    return np.stack([decoder.right(values, groups, truth) for decoder in part.decoders])


def _some(rows: np.ndarray) -> np.ndarray:
    """An even spread of at most `MOST_TESTED` rows."""
    return rows[np.linspace(0, len(rows) - 1, min(MOST_TESTED, len(rows))).round().astype(int)]
