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
from vitreous.training.processes import ALONE, Processes


def choose_compute(
    device: str | None = None, own_network: bool = False, processes: Processes = ALONE
) -> Compute:
    """The device asked for, or a GPU where there is one, else the CPU.

    Maps lie channels last in memory, where convolutions are faster, but for a user's own network,
    which may rely on the plain order (`view`).

    Raises `RequestError` when the device asked for is not there.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    name = device_of(name, processes)
    why = "asked for by --device" if device else f"{name} is what this machine has"
    _require(name)
    layout = "contiguous" if own_network else "channels_last"
    return Compute(device=name, memory_format=layout, processes=processes.count, why=why)


def the_same_compute(recorded: dict[str, Any], processes: Processes = ALONE) -> Compute:
    """The compute path of a run that goes on, its number of threads set.

    The number of processes may be another one. Raises `RequestError` when its device or its
    compiler is not there: others end with other weights.
    """
    compute = Compute(**recorded)
    name = torch.device(compute.device).type if processes.several else compute.device
    compute = replace(compute, device=device_of(name, processes), processes=processes.count)
    _require(compute.device)
    if compute.compiled:
        require_compiler(compute.device, processes)
    torch.set_num_threads(compute.threads)
    return compute


def device_of(name: str, processes: Processes) -> str:
    """The device of this process: each of several on a machine takes a GPU of its own.

    Raises `RequestError` for a device that they cannot share, and where GPUs are too few.
    """
    if not processes.several or name == "cpu":
        return name
    if name != "cuda":
        raise RequestError(f"--device {name}: is for one process; several take cpu or cuda")
    number, there = processes.launch.local_rank, torch.cuda.device_count()
    if number >= there:
        raise RequestError(
            f"process {number + 1} of this machine finds {there} GPUs; start one process a GPU "
            "(torchrun --nproc-per-node), or use --device cpu"
        )
    torch.cuda.set_device(number)  # where NCCL sends from
    return f"cuda:{number}"


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


def require_compiler(device: str, processes: Processes = ALONE) -> None:
    """Raises `RequestError` where compiling is asked for, or recorded, and cannot be."""
    if processes.several:  # what they tell each other within a step cannot be compiled
        raise RequestError(
            "several processes cannot compile their steps; train with --compile no, or in one"
        )
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
