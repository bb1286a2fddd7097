"""Which form networks compute in: the plain one, unless a compute path asks for the fast one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Literal

import torch

Form = Literal["plain", "fast"]

_form: ContextVar[Form] = ContextVar("form", default="plain")


@contextmanager
def using_form(form: Form) -> Iterator[None]:
    """Networks called inside compute in this form where they have it."""
    token = _form.set(form)
    try:
        yield
    finally:
        _form.reset(token)


def in_fast_form() -> bool:
    """Whether networks should now compute in their fast form.

    Never where they are captured or compiled: the operations of the plain form are what is shown.
    """
    return not torch.compiler.is_compiling() and _form.get() == "fast"


def low_precision(device: torch.device) -> torch.dtype | None:
    """The number format of an autocast that is on, for products; None in full precision."""
    kind = device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
