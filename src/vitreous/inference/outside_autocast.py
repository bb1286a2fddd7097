"""One operation of a bfloat16 autocast computed in float32, and rounded."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def in_float32(func: Callable, args: tuple, kwargs: dict[str, Any]) -> Tensor:
    """What `func` gives outside of the autocast, in the autocast's number format.

    The first of `args` is a tensor; all tensors are taken in float32.
    """
    kind = args[0].device.type
    with torch.autocast(kind, enabled=False):
        outputs = func(*map(_full, args), **{name: _full(it) for name, it in kwargs.items()})
    return outputs.to(torch.get_autocast_dtype(kind))


def _full(value: Any) -> Any:
    """A tensor in float32; whatever else as it is."""
    return value.float() if isinstance(value, Tensor) else value
