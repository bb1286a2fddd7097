"""Folds: what is trained on, validated and scored, clean at the borders.

Whatever the protocol, no window of a training trial shares time with one of the test part, and no
trial of the test part has an equal one in training. What has to be left out for that is listed with
its reason.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from vitreous.data.labels import number_in
from vitreous.data.protocols import Dataset, Protocol, rows_of_part, with_group
from vitreous.data.recordings.trials import overlapping
from vitreous.data.samples import Split
from vitreous.data.units import assign_units, make_units
from vitreous.errors import DataError

VALIDATION_SHARE = 0.15
MOST_OF_IT = 1.5  # times that share: whole subjects, one of each class, can be far more
ENOUGH_TO_VALIDATE = 500  # training trials: of fewer the part is too small to calibrate anything by


@dataclass(frozen=True)
class Fold:
    """One division: the part of each row, None for rows left out with their reasons."""

    name: str
    split: tuple[Split | None, ...]
    left_out: dict[int, str]

    def rows(self, part: Split) -> np.ndarray:
        """Rows of a part, int64."""
        return np.array([row for row, of in enumerate(self.split) if of == part], np.int64)


def usual_folds(protocol: Protocol, data: Dataset, seed: int = 0) -> list[Fold]:
    """The folds of a protocol, with a validation part where there is enough to take it from.

    Networks for trials keep their last epoch, so nothing is chosen by that part: it calibrates, and
    few trials are worth more in training. Raises as `make_folds` does.
    """
    folds = make_folds(protocol, data, seed=seed)
    if min(len(fold.rows("train")) for fold in folds) < ENOUGH_TO_VALIDATE:
        return folds
    return make_folds(protocol, data, validation_share=VALIDATION_SHARE, seed=seed)


def make_folds(
    protocol: Protocol, data: Dataset, *, validation_share: float = 0.0, seed: int = 0
) -> list[Fold]:
    """The folds of a protocol, clean at their borders.

    Of what is left for training, whole units (subjects, sessions, blocks in time) of about
    `validation_share` of it become the validation part; none where that is 0 or cannot be done.
    Raises `DataError` where a fold has nothing to train on, or a class that only the test part has.
    """
    return [
        _fold(protocol, data, name, test, validation_share, seed)
        for name, test in protocol.tests(data)
    ]


def _fold(
    protocol: Protocol,
    data: Dataset,
    name: str,
    test: np.ndarray,
    validation_share: float,
    seed: int,
) -> Fold:
    left_out: dict[int, str] = {}
    held = np.zeros(len(data.samples), bool)
    held[test] = True
    train = np.flatnonzero(~held)
    given_val: np.ndarray = np.zeros(0, np.int64)
    if protocol.name == "given":
        splits = np.array([str(sample.split) for sample in data.samples])
        given_val, train = np.flatnonzero(splits == "val"), np.flatnonzero(splits == "train")
    train = _without_contact(data, train, test, "the test part", left_out)
    val = _without_contact(data, given_val, test, "the test part", left_out)
    if not len(val) and validation_share > 0:
        val = _validation(protocol, data, train, validation_share, seed)
        train = train[~np.isin(train, val)]
    train = _without_contact(data, train, val, "the validation part", left_out)
    _require_trainable(data, train, test, name)
    split: list[Split | None] = [None] * len(data.samples)
    for part, rows in (("train", train), ("val", val), ("test", test)):
        for row in rows:
            split[row] = part  # type: ignore[call-overload]
    return Fold(name, tuple(split), left_out)


def _without_contact(
    data: Dataset, rows: np.ndarray, others: np.ndarray, what: str, left_out: dict[int, str]
) -> np.ndarray:
    """Rows that neither share time with a row of `others` nor equal one; why the rest does not."""
    if not len(rows) or not len(others):
        return rows
    reasons = {
        int(row): f"its window overlaps one of {what}"
        for row in overlapping(data.facts, rows, others)
    }
    beyond = set(others.tolist())
    for row in rows.tolist():
        same = data.equal.get(row, set()) & beyond
        if same:
            reasons[row] = f"equal to {data.samples[min(same)].sample_id} of {what}"
    left_out |= reasons
    return np.array([row for row in rows.tolist() if row not in reasons], np.int64)


def _validation(
    protocol: Protocol, data: Dataset, train: np.ndarray, share: float, seed: int
) -> np.ndarray:
    """Rows of whole units for validation; none where training would lose a class by it, or more
    than `MOST_OF_IT` of what was asked for.
    """
    samples = [
        with_group(data.samples[row], unit)
        for row, unit in zip(train, protocol.units(data, train), strict=True)
    ]
    units = make_units(samples, np.arange(len(train)), seed, [], stratify=True)
    if len(units) < 4:
        return np.zeros(0, np.int64)
    part = assign_units(units, [1 - share, share])
    chosen = np.array(sorted(rows_of_part(units, part, 1)), np.int64)
    kept = np.setdiff1d(np.arange(len(train)), chosen)
    labels = data.labels
    of_both = [  # numbers are seldom the same twice; classes must be on both sides
        {label for row in rows if isinstance(label := labels[int(train[row])], str)}
        for rows in (chosen, kept)
    ]
    if not len(chosen) or of_both[0] != of_both[1] or len(chosen) > MOST_OF_IT * share * len(train):
        return np.zeros(0, np.int64)
    return train[chosen]


def _require_trainable(data: Dataset, train: np.ndarray, test: np.ndarray, name: str) -> None:
    labels = data.labels
    known = Counter(labels[row] for row in train.tolist())
    if not known:
        raise DataError(f"{name}: no trial is left to train on; use another --protocol")
    classes = {label for label in labels if isinstance(label, str)}
    missing = sorted(classes - set(known))  # type: ignore[type-var]
    if missing:
        where = data.samples[int(test[0])].path
        raise DataError(
            f"{where}: {name}: training has no trial of class '{missing[0]}'"
            f"{_remedy(data, str(missing[0]))}"
        )


def _remedy(data: Dataset, missing: str) -> str:
    """Why a class is in the test part alone, and what helps: not another protocol where labels are
    subjects', as those divide subjects.
    """
    if not data.of_subjects:
        return "; use another --protocol, or leave the class out by naming the others in --events"
    pairs = zip(data.subjects, data.labels, strict=True)
    having = sorted({subject for subject, label in pairs if label == missing})
    if len(having) > 1:
        return (
            f": its {len(having)} subjects are all tested together; test each subject alone with "
            f"--folds {len(set(data.subjects))}"
        )
    numbers = all(number_in(str(label)) is not None for label in set(data.labels))
    return (
        f", which only subject '{having[0]}' has, and who is tested is not trained on; leave that "
        "subject out with --only, or add others of the class"
        + (", or learn the number itself with --task regress" if numbers else "")
    )
