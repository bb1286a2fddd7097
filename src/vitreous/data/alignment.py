"""Euclidean alignment: each subject's (or session's) trials with a mean covariance of one.

H. He and D. Wu, "Transfer learning for brain-computer interfaces: a Euclidean space data alignment
approach", IEEE Transactions on Biomedical Engineering 67, 2020. Each trial X becomes M X, where M
is the inverse root of the mean of X X' over the trials of its group.

A group without training trials can be aligned by those that are tested, without their labels: that
is transductive, the result must say so, and `Alignment.words` does. Else such a group is aligned by
the mean of all training covariances.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vitreous.errors import RequestError

WEAKEST = 1e-10  # of the strongest direction's power: what is below is no signal (a reference)


@dataclass(frozen=True)
class Alignment:
    """A matrix (channels, channels) for each group, and one for groups that are not known."""

    matrices: Mapping[str, np.ndarray]
    elsewhere: np.ndarray
    saw_test: tuple[str, ...] = ()  # groups whose matrix was fitted on unlabelled test trials

    @property
    def transductive(self) -> bool:
        """Whether any test trial was looked at."""
        return bool(self.saw_test)

    @property
    def words(self) -> str:
        """One sentence for results."""
        said = f"Euclidean alignment, {len(self.matrices)} groups"
        if not self.transductive:
            return f"{said}, fitted on training trials only"
        return (
            f"{said}; transductive: that of {', '.join(self.saw_test)} was fitted on the test "
            "trials, without their labels"
        )

    def with_unlabelled(self, trials: np.ndarray, groups: Sequence[str]) -> "Alignment":
        """The alignment with a matrix for each group that it does not know, of these very trials.

        `saw_test` are then those groups: their answers are transductive.
        """
        names = np.asarray([str(group) for group in groups])
        new = {
            str(group): _inverse_root(_covariance(trials[names == group]))
            for group in np.unique(names)
            if str(group) not in self.matrices
        }
        return Alignment({**self.matrices, **new}, self.elsewhere, tuple(new))

    def apply(self, trials: np.ndarray, groups: Sequence[str]) -> np.ndarray:
        """Trials (n, channels, time) aligned, float32; `groups` has the group of each."""
        result = np.empty(trials.shape, np.float32)
        names = np.asarray(groups)
        for group in np.unique(names):
            here = names == group
            result[here] = self.matrices.get(str(group), self.elsewhere) @ trials[here]
        return result


def fit_alignment(trials: np.ndarray, groups: Sequence[str], train_rows: np.ndarray) -> Alignment:
    """The alignment of trials (n, channels, time) by training rows alone.

    Groups with training trials get a matrix each; the others are met by that of all of them, or by
    their own unlabelled trials (`Alignment.with_unlabelled`).
    Raises `RequestError` where there is no training trial.
    """
    if not len(train_rows):
        raise RequestError("alignment: no training trials to fit it on; check the split")
    names = np.asarray([str(group) for group in groups])
    matrices = {
        str(group): _inverse_root(_covariance(trials[train_rows[names[train_rows] == group]]))
        for group in np.unique(names[train_rows])
    }
    return Alignment(matrices, _inverse_root(_covariance(trials[train_rows])))


def _covariance(trials: np.ndarray) -> np.ndarray:
    total = np.zeros((trials.shape[1],) * 2)
    for trial in trials.astype(np.float64):
        total += trial @ trial.T
    return total / (len(trials) * trials.shape[2])


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    """M with M C M = 1 in the directions that C has; zero in those it lacks."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > WEAKEST * values[-1]
    roots = np.where(kept, 1 / np.sqrt(np.where(kept, values, 1.0)), 0.0)
    return (vectors * roots) @ vectors.T
