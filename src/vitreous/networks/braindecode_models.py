"""Any model of braindecode as a network: `braindecode:NAME` (extra `braindecode`)."""

import inspect
import warnings
from difflib import get_close_matches
from types import ModuleType

import torch
from torch import Tensor, nn

from vitreous.errors import RequestError

PREFIX = "braindecode:"


class WholeTrial(nn.Module):
    """The trial itself as the only map: a model that is one piece reads it in the head."""

    channels = (1,)
    strides = ((1, 1),)

    def __init__(self, sampling_rate_hz: float | None = None) -> None:
        super().__init__()
        self.sampling_rate_hz = sampling_rate_hz

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Trials (batch, 1, electrodes, time), as they came."""
        return [inputs]


class BraindecodeHead(nn.Module):
    """A model of braindecode, which takes (batch, electrodes, time)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, maps: list[Tensor]) -> Tensor:
        """(batch, outputs) from the trial (batch, 1, electrodes, time)."""
        return self.model(torch.flatten(maps[-1], 1, 2))


def known_model(name: str) -> str:
    """The name of a model in braindecode. Raises `RequestError` where there is none of it."""
    plain = name.removeprefix(PREFIX)
    models = _models()
    known = [each for each in models.__all__ if _is_model(getattr(models, each, None))]
    by_small_letters = {each.lower(): each for each in known}
    found = by_small_letters.get(plain.lower())
    if found is None:
        near = get_close_matches(plain, known, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise RequestError(
            f"unknown model of braindecode '{plain}'; {hint}`braindecode.models` lists them"
        )
    return found


def braindecode_head(
    name: str, trial: nn.Module, shape: tuple[int, int, int], outputs: int
) -> BraindecodeHead:
    """The model for trials (1, electrodes, samples), its weights random.

    Raises `RequestError` where the model cannot be made for them.
    """
    kind = getattr(_models(), name)
    given = {
        "n_chans": shape[1],
        "n_times": shape[2],
        "n_outputs": outputs,
        "sfreq": getattr(trial, "sampling_rate_hz", None),
    }
    takes = inspect.signature(kind).parameters
    wanted = {key: value for key, value in given.items() if key in takes and value is not None}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            head = BraindecodeHead(kind(**wanted)).eval()
            with torch.no_grad():
                answer = head([torch.zeros(2, *shape)])
    except Exception as error:  # models refuse inputs in many ways
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise RequestError(
            f"braindecode:{name} cannot be made for {shape[1]} electrodes and {shape[2]} samples: "
            f"{reason}; give the sampling rate, another window, or take another model"
        ) from error
    if not isinstance(answer, Tensor) or tuple(answer.shape) != (2, outputs):
        raise RequestError(
            f"braindecode:{name} does not answer with one score a class; take another model"
        )
    return head.train()  # type: ignore


def _models() -> ModuleType:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import braindecode.models as models
    except ImportError as error:
        raise RequestError(
            f"{PREFIX}NAME needs braindecode ({error}); install vitreous[braindecode]"
        ) from error
    return models


def _is_model(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, nn.Module)
