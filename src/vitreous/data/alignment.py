"""Euclidean alignment: each subject's (or session's) trials with a mean covariance of one.

H. He and D. Wu, "Transfer learning for brain-computer interfaces: a Euclidean space data alignment
approach", IEEE Transactions on Biomedical Engineering 67, 2020. Each trial X becomes M X, where M
is the inverse root of the mean of X X' over the trials of its group.

A group that has trials only in the test part can be aligned by them, without their labels: that is
transductive, the result must say so, and `Alignment.words` does. Else such a group is aligned by
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

    def apply(self, trials: np.ndarray, groups: Sequence[str]) -> np.ndarray:
        """Trials (n, channels, time) aligned, float32; `groups` has the group of each."""
        result = np.empty(trials.shape, np.float32)
        names = np.asarray(groups)
        for group in np.unique(names):
            here = names == group
            result[here] = self.matrices.get(str(group), self.elsewhere) @ trials[here]
        return result


def fit_alignment(
    trials: np.ndarray,
    groups: Sequence[str],
    train_rows: np.ndarray,
    test_rows: np.ndarray | None = None,
) -> Alignment:
    """The alignment of trials (n, channels, time) by training rows.

    With `test_rows` a group without a training trial is aligned by its own test trials, whose
    labels are not looked at (transductive). Groups with training trials are aligned by those alone.
    Raises `RequestError` where there is no training trial.
    """
    if not len(train_rows):
        raise RequestError("alignment: no training trials to fit it on; check the split")
    names = np.asarray([str(group) for group in groups])
    matrices = {
        str(group): _inverse_root(_covariance(trials[train_rows[names[train_rows] == group]]))
        for group in np.unique(names[train_rows])
    }
    seen = []
    for group in np.unique(names[test_rows]) if test_rows is not None else ():
        if str(group) not in matrices:
            rows = test_rows[names[test_rows] == group]  # type: ignore[index]
            matrices[str(group)] = _inverse_root(_covariance(trials[rows]))
            seen.append(str(group))
    elsewhere = _inverse_root(_covariance(trials[train_rows]))
    return Alignment(matrices, elsewhere, tuple(seen))


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
