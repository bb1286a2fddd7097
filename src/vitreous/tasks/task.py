"""Which task fits the labels, and the tasks by name."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor

from vitreous.data.samples import Label, LabelKind
from vitreous.errors import RequestError, unknown_name
from vitreous.tasks.classify import Classify, ClassifyMultilabel
from vitreous.tasks.detect import Detect
from vitreous.tasks.regress import Regress
from vitreous.tasks.segment import Segment


class Task(Protocol):
    """What training and evaluation need to know of a task."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def classes(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def outputs(self) -> int: ...  # noqa: D102

    def encode(self, labels: Sequence[Label]) -> Tensor: ...  # noqa: D102
    def loss(  # noqa: D102
        self,
        outputs: Any,  # what the network's head gives: most tasks take one tensor
        targets: Tensor,
        *,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> Tensor: ...
    def weight(self, targets: Tensor, class_weights: Tensor | None = None) -> float: ...  # noqa: D102
    def answers(self, outputs: Tensor, temperature: float = 1.0) -> Any: ...  # noqa: D102


TASKS = {
    "classify": Classify,
    "classify-multilabel": ClassifyMultilabel,
    "regress": Regress,
    "segment": Segment,
}

TASK_OF_LABELS: dict[LabelKind, str] = {
    "class": "classify",
    "classes": "classify-multilabel",
    "number": "regress",
    "mask": "segment",
}


def task_for(
    label_kind: LabelKind, classes: tuple[str, ...], train_labels: Sequence[Label]
) -> Task:
    """The task that fits the labels; what it must know of them is taken from training labels."""
    if label_kind not in TASK_OF_LABELS:
        raise RequestError("these pictures have no labels: there is nothing to train for")
    if label_kind == "number":
        return Regress.fitted(train_labels)
    return TASKS[TASK_OF_LABELS[label_kind]](classes=classes)


def task_named(name: str, classes: Sequence[str], settings: dict[str, Any] | None = None) -> Task:
    """The task of a saved run, from its name, classes and settings (centre and scale)."""
    if name == "regress":
        return Regress(**(settings or {}))
    if name == "detect":
        height, width = (settings or {})["size"]
        return Detect(tuple(classes), (height, width))
    if name not in TASKS:
        raise unknown_name("task", name, [*TASKS, "detect"])
    return TASKS[name](classes=tuple(classes), **(settings or {}))
