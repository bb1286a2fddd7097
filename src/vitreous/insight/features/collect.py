"""One pass over a data set, of which each layer keeps only a little."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

from torch import Tensor, nn

from vitreous.networks.modes import evaluating
from vitreous.networks.program import CAPTURING

Batch = tuple[list[int], Tensor]
"""Rows of the data set, and their inputs as the network takes them (batch, channels, *space)."""

OnProgress = Callable[[int, int], None]

Keep = Callable[[list[int], Tensor], None]
"""Takes the rows and the maps (batch, channels, *cells) of a layer, and keeps what it needs."""


def collect(
    network: nn.Module,
    batches: Iterable[Batch],
    keep: Mapping[str, Keep],
    total: int,
    on_progress: OnProgress | None = None,
) -> None:
    """Run the batches once; each layer's maps go to its `keep` as soon as they are made.

    Nothing is held beyond what `keep` holds: all layers of a set are looked at in one pass. A
    layer that runs several times in a pass is looked at each time. Networks may be captured in
    other threads meanwhile: a batch and a capture wait for each other.
    """
    rows: list[int] = []
    done = 0
    with evaluating(network), _watching(network, keep, rows):
        for part, inputs in batches:
            rows[:] = part
            with CAPTURING:
                network(inputs)
            done += len(part)
            if on_progress is not None:
                on_progress(done, total)


@contextmanager
def _watching(network: nn.Module, keep: Mapping[str, Keep], rows: list[int]) -> Iterator[None]:
    def hook_of(name: str):
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor):
                keep[name](rows, output)

        return hook

    modules = dict(network.named_modules())
    handles = [modules[name].register_forward_hook(hook_of(name)) for name in keep]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
