"""A scikit-learn classifier of EEG trials, with the networks and the training of `vitreous train`.

It holds to scikit-learn's contract: `clone`, `cross_val_score`, pipelines and MOABB's evaluations
take it as it is. It is saved as tensors and JSON, never as a pickle.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from vitreous.data.alignment import fit_alignment
from vitreous.data.transforms import TrialScaling, fit_trial_scaling
from vitreous.errors import DataError, RequestError, unknown_name
from vitreous.files import read_json, write_json
from vitreous.inference import ONE_VIEW, Views, outputs_of_rows
from vitreous.networks import Network, NetworkCard, build_network, rebuild_network
from vitreous.networks.csp_start import CSP
from vitreous.runs.aligning import load_alignment, save_alignment
from vitreous.runs.estimator_trials import given_trials, rate_to_fit_hz, refuse_another_rate
from vitreous.runs.recipes import crop_views
from vitreous.runs.request import ALIGNMENTS
from vitreous.runs.set_up import new_training
from vitreous.runs.trial_start import start_on_trials
from vitreous.tasks import Classify
from vitreous.training.batches import TrainingData
from vitreous.training.checkpoints import load_tensors, save_tensors
from vitreous.training.devices import choose_compute
from vitreous.training.eeg_recipes import eeg_epochs, eeg_recipe
from vitreous.training.loop import train as run_loop
from vitreous.training.plan import steps_in_epochs
from vitreous.training.recipe import Recipe

FORMAT = 1
STARTS = ("none", CSP)
MakeNetwork = Callable[[tuple[int, int, int], int], nn.Module]
"""Input shape (1, channels, time) and the number of classes to a network."""


class EEGClassifier(ClassifierMixin, BaseEstimator):
    """Trains a network on trials and answers with classes.

    Trials are float (n, channels, time), or `mne.Epochs` (EEG channels are taken, the labels from
    its events where `y` is None, and the sampling rate; at prediction the channels of `fit` are
    found by name, and another rate is refused). `network` is a name such as `eegnet`, or a function
    that makes a module for (1, channels, time) and a number of classes. With a sampling rate
    kernels have their published lengths in seconds, without it in samples. Each channel is scaled
    by the mean and deviation of the trials it is fitted on. The last epoch is kept: nothing is
    chosen on any part of the data.

    What is not given is as in the network's recipe (`training.eeg_recipes`); `recombine` is the
    number of pieces of the new trial that goes beside each one (0: none), `crop` the seconds of the
    pieces that the network sees (the answers for the pieces of a trial are averaged). `align` is
    Euclidean alignment: in `fit` of each of `groups` by its own mean covariance, at prediction by
    that of all training trials ("training") or of the very trials asked about ("transductive": say
    so beside its scores, for they depend on which trials are asked about together). `weights` are
    those to start from: "none", or "csp" (`networks.csp_start`).
    """

    def __init__(
        self,
        network: str | MakeNetwork = "eegnet",
        *,
        sampling_rate_hz: float | None = None,
        epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        recombine: int | None = None,
        crop: float | None = None,
        align: str | None = None,
        weights: str = "none",
        seed: int = 0,
        device: str | None = None,
    ) -> None:
        self.network = network
        self.sampling_rate_hz = sampling_rate_hz
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.recombine = recombine
        self.crop = crop
        self.align = align
        self.weights = weights
        self.seed = seed
        self.device = device

    def fit(self, X: Any, y: Any = None, groups: Any = None) -> "EEGClassifier":  # noqa: N803
        """Train on trials `X` with labels `y` (n,); `groups` (n,) are subjects, for `align`.

        Raises `DataError` for what is no trials, `RequestError` for settings that do not fit.
        """
        trials = given_trials(X, y)
        values, rate = trials.values, rate_to_fit_hz(self.sampling_rate_hz, trials)
        self.channels_, self.sampling_rate_hz_ = trials.channels, rate
        self.classes_, targets = np.unique(trials.labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y: holds one class, {self.classes_[0]!r}; at least two are needed")
        subjects = _groups(groups, len(values))
        rows = np.arange(len(values))
        self.alignment_ = None
        if self.align is not None:
            if self.align not in ALIGNMENTS:
                raise unknown_name("align", self.align, ALIGNMENTS)
            self.alignment_ = fit_alignment(values, subjects, rows)
            values = self.alignment_.apply(values, subjects)
        self.views_ = self._views(rate, values.shape[2])
        shape = (1, values.shape[1], self.views_.crop_samples or values.shape[2])
        pixels = values[:, None]
        self.scaling_ = fit_trial_scaling(pixels, rows)
        network = self._made(shape, len(self.classes_), rate)
        kinds = np.unique([f"{a}\0{b}" for a, b in zip(subjects, targets, strict=True)],
                          return_inverse=True)[1]  # fmt: skip
        answers = torch.from_numpy(targets.astype(np.int64))
        data = TrainingData(pixels, answers, rows, rows[:0], self.scaling_, kinds)
        if self.weights not in STARTS:
            raise unknown_name("weights", self.weights, STARTS)
        start_on_trials(network, data, self.weights, self.views_)
        recipe = self._recipe(len(rows))
        epochs = self.epochs or eeg_epochs(len(rows), recipe.batch_size)
        training = new_training(
            Classify(tuple(map(str, self.classes_))),
            data,
            network,
            recipe,
            choose_compute(self.device, own_network=True),
            self.seed,
            steps_in_epochs(len(rows), recipe.batch_size, epochs),
        )
        run_loop(training)
        network.load_state_dict(training.best_tensors)
        self.network_ = network.cpu().eval()
        self.input_shape_ = (1, *values.shape[1:])
        return self

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """The network's outputs, float64 (n, classes); for two classes (n,), of the second."""
        outputs = self._outputs(X).double().numpy()
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities float64 (n, classes), in the order of `classes_`."""
        return torch.softmax(self._outputs(X).double(), dim=1).numpy()

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each trial, (n,)."""
        chosen = self._outputs(X).numpy().argmax(axis=1)
        return self.classes_[chosen]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:  # noqa: N803
        """Share of trials that are answered rightly; labels of `mne.Epochs` are its events."""
        check_is_fitted(self, "network_")
        right = self.predict(X) == given_trials(X, y).labels
        return float(np.average(right, weights=sample_weight))

    def save(self, folder: str | Path) -> Path:
        """Write tensors and JSON into a folder; returns it.

        Raises `RequestError` where a function made the network: it cannot be made again by name.
        """
        check_is_fitted(self, "network_")
        if not isinstance(self.network, str) or not isinstance(self.network_, Network):
            raise RequestError("a network made by your own function cannot be saved by its name")
        folder = Path(folder)
        save_tensors(folder / "network.safetensors", self.network_.state_dict(), {})
        write_json(
            folder / "estimator.json",
            {
                "format": FORMAT,
                "parameters": self.get_params(),
                "classes": self.classes_.tolist(),
                "scaling": {"mean": self.scaling_.mean, "std": self.scaling_.std},
                "network": self.network_.card.to_json(),
                "input_shape": self.input_shape_,
                "views": asdict(self.views_),
                "channels": self.channels_,
                "sampling_rate_hz": self.sampling_rate_hz_,
            },
        )
        save_alignment(folder, self.alignment_)
        return folder

    @staticmethod
    def load(folder: str | Path) -> "EEGClassifier":
        """The fitted classifier that `save` wrote. Raises `DataError` with the path."""
        path = Path(folder) / "estimator.json"
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != FORMAT:
            raise DataError(f"{path}: is no classifier of format {FORMAT}")
        try:
            loaded = EEGClassifier(**record["parameters"])
            loaded.classes_ = np.array(record["classes"])
            scaling = record["scaling"]
            loaded.scaling_ = TrialScaling(tuple(scaling["mean"]), tuple(scaling["std"]))
            loaded.views_ = Views(**record["views"])
            loaded.input_shape_ = tuple(record["input_shape"])
            names = record.get("channels")  # older ones did not keep them
            loaded.channels_ = None if names is None else tuple(names)
            loaded.sampling_rate_hz_ = record.get("sampling_rate_hz")
            card = NetworkCard.from_json(record["network"])
        except (KeyError, TypeError) as error:
            raise DataError(f"{path}: incomplete ({error})") from None
        loaded.network_ = rebuild_network(card)
        loaded.network_.load_state_dict(load_tensors(Path(folder) / "network.safetensors"))
        loaded.network_.eval()
        loaded.alignment_ = load_alignment(Path(folder)) if loaded.align else None
        return loaded

    def _recipe(self, trials: int) -> Recipe:
        """That of the network, with what was asked for in its place."""
        name = self.network if isinstance(self.network, str) else "eegnet"
        recipe = eeg_recipe(name, trials)
        asked = {
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "recombined_segments": self.recombine,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        return replace(recipe, views=self.views_, **given)

    def _views(self, rate_hz: float | None, samples: int) -> Views:
        if self.crop is None:
            return ONE_VIEW
        if rate_hz is None:
            raise RequestError("crop: is in seconds; give sampling_rate_hz, or mne.Epochs")
        return crop_views(self.crop, rate_hz, samples)

    def _made(self, shape: tuple[int, int, int], outputs: int, rate: float | None) -> nn.Module:
        if isinstance(self.network, str):
            return build_network(
                self.network,
                shape,
                outputs,
                scaling=self.scaling_,
                seed=self.seed,
                sampling_rate_hz=rate,
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            return self.network(shape, outputs)

    def _outputs(self, X: Any) -> torch.Tensor:  # noqa: N803
        check_is_fitted(self, "network_")
        trials = given_trials(X, None, needs_labels=False, channels=self.channels_)
        refuse_another_rate(self.sampling_rate_hz_, trials)
        values = trials.values
        if values.shape[1:] != self.input_shape_[1:]:
            raise DataError(
                f"X: trials of {values.shape[1]} channels and {values.shape[2]} samples; it was "
                f"fitted on {self.input_shape_[1]} and {self.input_shape_[2]}"
            )
        if self.alignment_ is not None:
            new = ["the trials asked about"] * len(values)  # no group that was trained on
            transductive = self.align == "transductive"
            alignment = self.alignment_
            alignment = alignment.with_unlabelled(values, new) if transductive else alignment
            values = alignment.apply(values, new)
        rows = np.arange(len(values))
        pixels = values[:, None]
        return outputs_of_rows(self.network_, pixels, rows, self.scaling_, views=self.views_)


def _groups(groups: Any, count: int) -> list[str]:
    """A group a trial; one for all where none are given."""
    if groups is None:
        return ["all"] * count
    if len(groups) != count:
        raise DataError(f"groups: {len(groups)} for {count} trials; one each is needed")
    return [str(group) for group in groups]
