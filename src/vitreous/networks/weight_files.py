"""Tensors from weight files of all kinds; nothing that is loaded can run code."""

import pickle
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vitreous.errors import DataError

INSIDE = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net")
"""Where training scripts keep the weights among other things; averaged ones first."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers (DataParallel, compile, Lightning) put before every name."""


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a .safetensors, .pth, .pt or .bin file, wrappers' prefixes removed.

    Raises `DataError` with the path where the file is absent, broken, needs code to be loaded,
    holds no weights, or holds numbers that are not finite.
    """
    if not path.is_file():
        raise DataError(f"{path}: not found; give a file of weights, a run, or a timm name")
    loaded = _safetensors(path) if path.suffix == ".safetensors" else _pytorch(path)
    tensors = without_prefixes(_state_dict(path, loaded))
    for name, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise DataError(f"{path}: '{name}' holds numbers that are not finite; get it again")
    return tensors


def without_prefixes(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors without what stands before every one of their names.

    >>> list(without_prefixes({"module.model.fc.bias": None, "module.model.fc.weight": None}))
    ['fc.bias', 'fc.weight']
    """
    found = dict(tensors)
    while prefix := _common_prefix(found):
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def _common_prefix(names: Iterable[str]) -> str:
    names = list(names)
    found = (p for p in PREFIXES if names and all(name.startswith(p) for name in names))
    return next(found, "")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DataError(
            f"{path}: not a readable safetensors file ({_line(error)}); get it again"
        ) from None


def _pytorch(path: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other pickle protocols: what cannot be read raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():  # a function or class that it names
            raise DataError(
                f"{path}: needs code to be loaded, which could do anything; refused. Save its "
                "state_dict, best as .safetensors, where you trust it"
            ) from None
        raise DataError(f"{path}: not a PyTorch file ({_line(error)}); get it again") from None
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: not a readable PyTorch file ({_line(error)}); get it again"
        ) from None


def _state_dict(path: Path, loaded: Any) -> dict[str, Tensor]:
    for _ in range(3):  # a state_dict may lie inside a dict inside a dict
        if not isinstance(loaded, Mapping):
            break
        inside = next((loaded[key] for key in INSIDE if isinstance(loaded.get(key), Mapping)), None)
        if inside is None:
            break
        loaded = inside
    if isinstance(loaded, Mapping):
        tensors = {str(name): v for name, v in loaded.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
    kind = type(loaded).__name__
    raise DataError(f"{path}: holds no weights (found a {kind}); give a state_dict of tensors")


def _line(error: Exception) -> str:
    """The first line of an error, without what it says to programmers."""
    text = str(error).strip()
    return text.splitlines()[0][:160] if text else type(error).__name__
