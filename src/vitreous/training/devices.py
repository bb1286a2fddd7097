"""Where the network is trained, and what this machine is."""

import os
import platform
import shutil
import sys
from dataclasses import replace
from typing import Any

import torch

from vitreous.errors import RequestError
from vitreous.inference import Compute


def choose_compute(device: str | None = None, own_network: bool = False) -> Compute:
    """The device asked for, or a GPU where there is one, else the CPU.

    Maps lie channels last in memory, where convolutions are faster, but for a user's own network,
    which may rely on the plain order (`view`).

    Raises `RequestError` when the device asked for is not there.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    why = "asked for by --device" if device else f"{name} is what this machine has"
    _require(name)
    layout = "contiguous" if own_network else "channels_last"
    return Compute(device=name, memory_format=layout, why=why)


def the_same_compute(recorded: dict[str, Any]) -> Compute:
    """The compute path of a run that goes on, its number of threads set.

    Raises `RequestError` when its device or its compiler is not there: others end with other
    weights.
    """
    compute = Compute(**recorded)
    _require(compute.device)
    if compute.compiled:
        require_compiler(compute.device)
    torch.set_num_threads(compute.threads)
    return compute


def serving_compute(recorded: dict[str, Any], device: str | None = None) -> Compute:
    """The compute path on which a finished run answers: its own, as far as it is there.

    On another device than the run's, or where the processor has no bfloat16, in float32.
    Raises `RequestError` when the device asked for is not there.
    """
    here = choose_compute(device)
    own = Compute(**recorded)
    same_kind = torch.device(own.device).type == torch.device(here.device).type
    if not same_kind or (own.dtype == "bfloat16" and not has_bfloat16(here.device)):
        own = replace(own, dtype="float32")
    return replace(own, device=here.device, threads=here.threads)


def has_bfloat16(device: str) -> bool:
    """Whether convolutions in bfloat16 are more than imitated there."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def can_compile(device: str) -> bool:
    """Whether torch.compile finds what it needs: a C++ compiler, or Triton on a GPU."""
    if torch.device(device).type == "cuda":
        from torch.utils._triton import has_triton

        return has_triton()
    compilers = (os.environ.get("CXX"), "g++", "clang++", "cl")
    return any(name and shutil.which(name) for name in compilers)


def require_compiler(device: str) -> None:
    """Raises `RequestError` where compiling is asked for, or recorded, and cannot be."""
    if not can_compile(device):
        raise RequestError(
            f"compiling for {device} needs a compiler: install g++ (for a GPU: Triton), "
            "or train with --compile no"
        )


def _require(name: str) -> None:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise RequestError(
            f"--device {name} cannot be used here ({reason}); use cpu, cuda, cuda:N or mps"
        ) from None


def hardware() -> dict[str, Any]:
    """What the run was made on: processor, cores, memory in GB, GPU."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "memory_gb": _memory_gb(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": platform.platform(terse=True),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (ValueError, OSError, AttributeError):
        return None
