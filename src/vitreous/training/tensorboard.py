"""The curves for TensorBoard, for those who want it: `--log tensorboard`."""

from pathlib import Path

from vitreous.errors import RequestError
from vitreous.training.checkpoints import State


class TensorBoardLog:
    """Writes each epoch's row below `folder`/tensorboard; a watcher of the loop."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard.writer import SummaryWriter
        except ImportError:
            raise RequestError(
                "--log tensorboard needs TensorBoard: pip install 'vitreous[tensorboard]'"
            ) from None
        self.writer = SummaryWriter(str(folder / "tensorboard"))

    def step(self, state: State, loss: float, pictures: int) -> None:
        """After a step: the training loss."""
        del pictures
        self.writer.add_scalar("train_loss_step", loss, state.step)

    def epoch(self, state: State, row: dict[str, float | None]) -> None:
        """After an epoch: every column of history.csv."""
        for name, value in row.items():
            if value is not None and name not in {"step", "epoch", "seconds"}:
                self.writer.add_scalar(name, value, state.step)
        self.writer.flush()
