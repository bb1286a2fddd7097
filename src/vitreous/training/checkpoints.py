"""Checkpoints: all that a training needs to go on, in one file that holds no code.

`last.safetensors` holds the tensors and, in its header, the state as JSON: one file, renamed into
place, so tensors and state always belong together. `last.json` repeats the state for people.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.optim import Optimizer

from vitreous.errors import DataError
from vitreous.files import write_bytes, write_json
from vitreous.training.averaging import WeightAverage

FORMAT = 1


@dataclass
class Best:
    """The best validated weights so far."""

    epoch: int
    step: int
    metric: str
    value: float | None  # None where the metric is undefined on this validation part


@dataclass
class State:
    """Where a training stands; with the tensors, all that the next step depends on."""

    planned_steps: int
    step: int = 0  # steps done
    epoch: int = 0  # whole epochs done
    batch: int = 0  # batches done in the epoch that is running
    loss_sum: float = 0.0  # of those batches, for the epoch's row
    seconds: float = 0.0  # of training, all sittings together
    seconds_waiting: float = 0.0  # of those, for the next batch
    epochs_since_best: int = 0
    best: Best | None = None
    best_loss: float = 0.0  # validation loss of the best epoch; settles ties
    history: list[dict[str, float | None]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, as in `last.json`."""
        return {"format": FORMAT, **asdict(self)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> "State":
        """The state that `to_json` wrote."""
        fields = {name: item for name, item in value.items() if name != "format"}
        best = fields.pop("best")
        return State(**fields, best=Best(**best) if best else None)


def save_checkpoint(
    folder: Path,
    state: State,
    network: nn.Module,
    average: WeightAverage,
    optimizers: Sequence[Optimizer],
) -> None:
    """Write `last.safetensors` and `last.json` into the run folder."""
    tensors = {
        **_prefixed("network.", network.state_dict()),
        **_prefixed("average.", average.tensors),
        **_prefixed("optimizer.", _optimizer_tensors(network, optimizers)),
    }
    save_tensors(folder / "last.safetensors", tensors, {"state": json.dumps(state.to_json())})
    write_json(folder / "last.json", state.to_json())


def load_checkpoint(
    folder: Path, network: nn.Module, average: WeightAverage, optimizers: Sequence[Optimizer]
) -> State:
    """Put a checkpoint's tensors in place and return its state.

    Raises `DataError` when the file is absent, broken, or of another network.
    """
    path = folder / "last.safetensors"
    state = read_state(folder)
    tensors = load_tensors(path)
    try:
        network.load_state_dict(_without_prefix("network.", tensors))
        for name, value in _without_prefix("average.", tensors).items():
            average.tensors[name].copy_(value)
        _load_optimizers(network, optimizers, _without_prefix("optimizer.", tensors))
    except (KeyError, RuntimeError) as error:
        raise DataError(f"{path}: belongs to another network ({_first_line(error)})") from None
    return state


def read_state(folder: Path) -> State:
    """The state in the header of `last.safetensors`. Raises `DataError` with the path."""
    path = folder / "last.safetensors"
    try:
        with safe_open(path, framework="pt") as file:
            return State.from_json(json.loads(file.metadata()["state"]))
    except FileNotFoundError:
        raise DataError(f"{path}: not found; the run has no checkpoint to go on from") from None
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise DataError(f"{path}: not a readable checkpoint ({_first_line(error)})") from None


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file atomically; tensors that share memory are written each."""
    contiguous = {
        name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()
    }
    write_bytes(path, save(contiguous, metadata=metadata))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises `DataError` with the path when unreadable."""
    try:
        return load_file(path)
    except FileNotFoundError:
        raise DataError(f"{path}: not found") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(f"{path}: not a readable safetensors file ({_first_line(error)})") from None


def _optimizer_tensors(network: nn.Module, optimizers: Sequence[Optimizer]) -> dict[str, Tensor]:
    return {
        f"{name}.{key}": torch.as_tensor(value)
        for name, parameter in network.named_parameters()
        for optimizer in optimizers  # a parameter has a state in one of them, or in none yet
        for key, value in optimizer.state.get(parameter, {}).items()
        if value is not None
    }


def _load_optimizers(
    network: nn.Module, optimizers: Sequence[Optimizer], tensors: dict[str, Tensor]
) -> None:
    for name, parameter in network.named_parameters():
        stored = {
            key.removeprefix(f"{name}."): value
            for key, value in tensors.items()
            if key.rpartition(".")[0] == name
        }
        if stored:
            # AdamW keeps its counter on the CPU and its moments beside the parameter
            _owner(parameter, optimizers).state[parameter] = {
                key: value if value.ndim == 0 else _beside(parameter, value)
                for key, value in stored.items()
            }


def _beside(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """The values on the parameter's device and in its layout: a fused step goes by memory."""
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _owner(parameter: nn.Parameter, optimizers: Sequence[Optimizer]) -> Optimizer:
    """The optimiser that moves the parameter; `RuntimeError` where none does."""
    for optimizer in optimizers:
        if any(parameter is each for group in optimizer.param_groups for each in group["params"]):
            return optimizer
    raise RuntimeError("a parameter that was trained is not trained in this network")


def _prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in tensors.items()}


def _without_prefix(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
