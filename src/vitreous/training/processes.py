"""Several processes that train one network: what they tell each other, and nothing more.

Every process runs the same code on its share of each batch. What could differ between them (the
clock, Ctrl-C, what was found on the disk) is decided by the first process, and told. One process
by itself does all of this without telling anybody.
"""

import itertools
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from vitreous.errors import RequestError, VitreousError
from vitreous.training.launcher import Launch, launched

TIMEOUT = timedelta(minutes=10)  # of one exchange; a process that ended is noticed at once
POLL_SECONDS = 0.05

Value = TypeVar("Value")
_numbers = itertools.count()  # of trainings in this script: each has its own keys in the store


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; by default it is alone."""

    rank: int = 0
    count: int = 1
    launch: Launch = Launch()  # noqa: RUF009 frozen, and empty
    store: dist.Store | None = None  # words for each other, of this training and attempt
    memory: dist.Store | None = None  # of this training; outlives a restart by torchrun

    @property
    def first(self) -> bool:
        """Whether this process decides, writes and speaks."""
        return self.rank == 0

    @property
    def several(self) -> bool:
        """Whether there are others."""
        return self.count > 1

    def __deepcopy__(self, memo: dict) -> "Processes":
        return self  # a copied training belongs to the same processes

    def part(self, rows: np.ndarray) -> np.ndarray:
        """This process's part of rows that all have: consecutive, nearly equal parts."""
        return np.array_split(rows, self.count)[self.rank] if self.several else rows

    def now(self) -> float:
        """The first process's `time.monotonic()`, so that all plan by one clock."""
        return self.agreed(time.monotonic())

    def agreed(self, number: float) -> float:
        """The first process's number, for all of them; exact below 2^53."""
        if not self.several:
            return number
        told = torch.tensor([float(number)], dtype=torch.float64)
        _talking(lambda: dist.broadcast(told, 0))
        return type(number)(told.item())

    def share(self, weight: float) -> float:
        """This process's share of the sum of all weights: 1.0 when it is alone."""
        if not self.several:
            return 1.0
        total = torch.tensor([float(weight)], dtype=torch.float64)
        _talking(lambda: dist.all_reduce(total))
        return weight / total.item()

    def gathered(self, tensor: Tensor) -> Tensor:
        """Tensors of one shape from all processes, stacked in the order of their ranks."""
        found = [torch.empty_like(tensor) for _ in range(self.count)]
        _talking(lambda: dist.all_gather(found, tensor.contiguous()))
        return torch.stack(found)

    def summed(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place."""
        _talking(lambda: dist.all_reduce(tensor))
        return tensor

    def joined(self, part: Tensor, total: int) -> Tensor:
        """Float rows (total, ...) of which each process has its `part` (see `part`)."""
        if not self.several:
            return part
        lengths = [len(rows) for rows in np.array_split(np.arange(total), self.count)]
        width = torch.tensor([part.shape[1] if part.ndim == 2 else 0])
        width = int(self.gathered(width).max())  # a process without rows knows no width
        padded = torch.zeros(max(lengths), width, dtype=torch.float32)
        padded[: len(part)] = part.float() if len(part) else padded[:0]
        parts = self.gathered(padded)
        return torch.cat([rows[:length] for rows, length in zip(parts, lengths, strict=True)])

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[Tensor], loss: Tensor) -> float:
        """Replace each gradient by its sum over all processes; the sum of their losses.

        Losses are to be multiplied by `share` before `backward`, so that the sums are the loss
        and the gradients of the whole batch. One exchange, as one long vector.
        """
        if not self.several:
            return loss.item()
        trained = [parameter for parameter in parameters if parameter.requires_grad]
        used = torch.tensor([float(p.grad is not None) for p in trained], device=loss.device)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
        together = torch.cat(
            [*(gradient.reshape(-1).float() for gradient in gradients), used, loss.reshape(1)]
        )
        self.summed(together)
        sizes = [*(parameter.numel() for parameter in trained), len(trained), 1]
        *sums, used, total = together.split(sizes)
        for parameter, found, anywhere in zip(trained, sums, used.tolist(), strict=True):
            if anywhere:  # else it stays without one, and the optimiser leaves it alone
                # in the parameter's layout: a fused step goes by memory, not by strides
                parameter.grad = torch.empty_like(parameter).copy_(found.reshape(parameter.shape))
        return total.item()

    @torch.no_grad()
    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Give the tensors of the first process to all, in place."""
        if not self.several:
            return
        for tensor in tensors:
            told = tensor.detach().contiguous()
            _talking(lambda told=told: dist.broadcast(told, 0))
            tensor.copy_(told)

    def from_first(self, name: str, make: Callable[[], Value]) -> Value:
        """What the first process makes, for all: plain values that JSON can hold.

        The others wait as long as the making takes, so long as the launcher's store is there.
        """
        if not self.several:
            return make()
        assert self.store is not None
        if self.first:
            made = make()
            _talking(lambda: self.store.set(name, json.dumps(made)))  # type: ignore[union-attr]
            return made
        self._wait(lambda: self.store.check([name]))  # type: ignore[union-attr]
        return json.loads(_talking(lambda: self.store.get(name)))  # type: ignore[union-attr]

    def one_a_machine_first(self, name: str, do: Callable[[], Value]) -> Value:
        """Do something on one process of each machine, then on its others; all end together."""
        if not self.several:
            return do()
        here = f"{name} on {self.launch.machine}"
        if self.launch.local_rank:
            self._wait(lambda: self.store.check([here]))  # type: ignore[union-attr]
        done = do()
        self.store.set(here, "done")  # type: ignore[union-attr]
        self.all_reach(name)
        return done

    def all_reach(self, name: str) -> None:
        """Wait, however long it takes, until every process has come here."""
        if not self.several:
            return
        store = self.store
        assert store is not None
        _talking(lambda: store.add(f"{name} reached", 1))
        self._wait(lambda: store.add(f"{name} reached", 0) >= self.count)

    def _wait(self, reached: Callable[[], bool]) -> None:
        while not _talking(reached):
            if self.store is not None and _talking(lambda: self.store.check(["failed"])):  # type: ignore[union-attr]
                raise lost()
            time.sleep(POLL_SECONDS)

    def remembered(self, name: str) -> str | None:
        """What was remembered under a name before torchrun restarted the processes."""
        if self.memory is None or not _talking(lambda: self.memory.check([name])):  # type: ignore[union-attr]
            return None
        return _talking(lambda: self.memory.get(name)).decode()  # type: ignore[union-attr]

    def remember(self, name: str, value: str) -> None:
        """Keep a value for processes that torchrun restarts; lost when torchrun ends."""
        if self.memory is not None:
            self.memory.set(name, value)

    def fails_first(self) -> bool:
        """To be asked by a process that fails: whether no other has failed before it."""
        if self.store is None:
            return True
        try:
            first = self.store.add("failures", 1) == 1
            self.store.set("failed", "1")
        except RuntimeError:  # the launcher has gone, and with it the store
            return self.first
        return first


ALONE = Processes()


@contextmanager
def processes_together() -> Iterator[Processes]:
    """The processes that the launcher started, while they train together.

    Raises `RequestError` when torch.distributed is in use already, and `VitreousError` when they
    cannot find each other. An error that leaves here says whether this process speaks of it.
    """
    launch = launched()
    if not launch.address:
        yield ALONE
        return
    processes = _started(launch)
    try:
        yield processes
    except BaseException as error:
        error.said_here = processes.fails_first()  # type: ignore[attr-defined]
        raise
    finally:
        if processes.several:
            dist.destroy_process_group()


def _started(launch: Launch) -> Processes:
    if dist.is_initialized():
        raise RequestError(
            "torch.distributed is started already; let `vitreous.train` start and end it"
        )
    number = next(_numbers)
    try:
        store = dist.TCPStore(
            launch.address,
            launch.port,
            is_master=launch.rank == 0 and not launch.store_is_there,
            wait_for_workers=False,
            timeout=TIMEOUT,
        )
        memory = dist.PrefixStore(f"vitreous/{number}", store)
        words = dist.PrefixStore(f"{launch.attempt}-{launch.count}", memory)
        if launch.count > 1:
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                store=dist.PrefixStore("group", words),
                rank=launch.rank,
                world_size=launch.count,
                timeout=TIMEOUT,
            )
    except (RuntimeError, ValueError) as error:
        raise VitreousError(
            f"process {launch.rank} of {launch.count} cannot reach the others at "
            f"{launch.address}:{launch.port} ({str(error).splitlines()[0]}); "
            "see torchrun's --rdzv-endpoint, and GLOO_SOCKET_IFNAME for the network to use"
        ) from None
    return Processes(launch.rank, launch.count, launch, words, memory)


def _talking(exchange: Callable[[], Value]) -> Value:
    """An exchange with the others; what fails in it becomes one line."""
    try:
        return exchange()
    except RuntimeError:  # of the group (a closed connection, a timeout) or of the store
        raise lost() from None


def lost() -> VitreousError:
    """The error of a process that the others have left."""
    return VitreousError(
        "another process of this training ended or no longer answers; torchrun says which; "
        "start again with the same command, or let torchrun do so with --max-restarts"
    )
