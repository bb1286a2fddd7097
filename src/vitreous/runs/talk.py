"""What a verb says while it works: sentences and progress on stderr, nothing when quiet.

Bars are drawn on a terminal only; in a file or a pipe there are the sentences alone.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from vitreous.training.checkpoints import State

OnProgress = Callable[[int, int], None]


class Talk:
    """Sentences and progress on stderr."""

    def __init__(self, quiet: bool = False) -> None:
        self.console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        self.quiet = quiet

    def say(self, sentence: str) -> None:
        """A decision or a result on the way."""
        self.console.print(escape(sentence))

    def warn(self, sentence: str) -> None:
        """Something the user should look at."""
        self.console.print(f"[yellow]warning:[/yellow] {escape(sentence)}")

    @contextmanager
    def counting(self, what: str) -> Iterator[OnProgress]:
        """A bar that counts; gives the callback `(done, total)`."""
        with self._bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()) as bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total or None)

    @contextmanager
    def training(self, metric: str, what: str = "pictures") -> Iterator["TrainingBar"]:
        """A bar of the steps with loss, the watched metric, samples a second and time left."""
        columns = (
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[numbers]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with self._bar(*columns) as bar:
            yield TrainingBar(bar, bar.add_task("training", total=None, numbers=""), metric, what)

    def _bar(self, *columns) -> Progress:
        return Progress(
            *columns,
            console=self.console,
            transient=True,
            disable=self.quiet or not self.console.is_terminal,
        )


class TrainingBar:
    """Tells a training's state on a bar; a watcher of the loop."""

    def __init__(self, bar: Progress, task: TaskID, metric: str, what: str = "pictures") -> None:
        self.bar, self.task, self.metric, self.what = bar, task, metric, what
        self.loss: float | None = None
        self.score = ""
        self.started, self.pictures = monotonic(), 0

    def step(self, state: "State", loss: float, pictures: int) -> None:
        """After a step: the loss is a running mean, so that it can be read."""
        self.loss = loss if self.loss is None else 0.95 * self.loss + 0.05 * loss
        self.pictures += pictures
        pace = self.pictures / max(1e-9, monotonic() - self.started)
        numbers = f"loss {self.loss:.3f}{self.score}  {pace:,.0f} {self.what}/s"
        self.bar.update(self.task, completed=state.step, total=state.planned_steps, numbers=numbers)

    def epoch(self, state: "State", row: dict[str, float | None]) -> None:
        """After an epoch: the validation score."""
        del state
        name = self.metric.removeprefix("val_").replace("_", " ")
        value = row[self.metric]
        self.score = "" if value is None else f"  validation {name} {value:.3f}"
