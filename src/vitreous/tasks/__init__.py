"""Tasks: how labels become targets, what is minimised, and how outputs become answers."""

from vitreous.tasks.classify import Classify, ClassifyMultilabel
from vitreous.tasks.detect import Detect
from vitreous.tasks.regress import Regress
from vitreous.tasks.segment import Segment
from vitreous.tasks.task import TASKS, Task, task_for, task_named

__all__ = [
    "TASKS",
    "Classify",
    "ClassifyMultilabel",
    "Detect",
    "Regress",
    "Segment",
    "Task",
    "task_for",
    "task_named",
]
