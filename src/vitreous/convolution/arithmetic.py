"""How large maps become, and which cells of one map see which cells of another.

Everything here speaks of one axis; a picture has two independent ones. Positions count from the
first input cell: padding before the input has negative positions.

Two ways lead to a receptive field. The closed form, `Reach`, follows the recursions of Araujo,
Norris & Sim, "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019
(doi:10.23915/distill.00021). With kernel span k, stride s and padding p of a layer, the field of
its output follows from that of its input:

    jump  = jump * s                      input cells between neighbouring output cells
    size  = size + (k - 1) * jump_before  input cells that one output cell sees
    start = start - p * jump_before       first input cell that output cell 0 sees

Branches that meet again (a residual sum, a concatenation) see the hull of what each sees. The
cells themselves, `receptive_cells` and `projective_cells`, are followed layer by layer, so that
borders, dilation, strides that jump over cells and transposed layers come out exactly.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vitreous.convolution.settings import window_span
from vitreous.errors import RequestError

Cells = np.ndarray
"""Sorted, unique positions along one axis: int (n,)."""


def output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Cells along one axis after a convolution or pooling.

    With `ceil_mode` a last window may hang over the end, as long as it starts on the input or on
    the padding before it (PyTorch's rule). Raises `RequestError` where not one window fits.

    >>> output_size(32, kernel=3, stride=2, padding=1)
    16
    >>> output_size(7, kernel=2, stride=2), output_size(7, kernel=2, stride=2, ceil_mode=True)
    (3, 4)
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    free = size + before + after - window_span(kernel, dilation)
    if free < 0:
        raise RequestError(
            f"a kernel over {window_span(kernel, dilation)} cells does not fit into "
            f"{size + before + after} ({size} and padding {before} + {after}); "
            "use a larger input, more padding or a smaller kernel"
        )
    if not ceil_mode:
        return free // stride + 1
    cells = -(-free // stride) + 1
    return cells - 1 if (cells - 1) * stride >= size + before else cells


def transposed_output_size(
    size: int,
    kernel: int,
    stride: int = 1,
    padding: int | tuple[int, int] = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Cells along one axis after a transposed convolution.

    >>> transposed_output_size(16, kernel=3, stride=2, padding=1, output_padding=1)
    32
    """
    before, after = (padding, padding) if isinstance(padding, int) else padding
    cells = (size - 1) * stride + window_span(kernel, dilation) - before - after + output_padding
    if cells < 1:
        raise RequestError(
            f"padding {before} + {after} leaves nothing of {size} cells after a transposed "
            "convolution; use less padding"
        )
    return cells


@dataclass(frozen=True)
class Window:
    """One axis of a convolution or a pooling: the layer's numbers along it."""

    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)  # before, after
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def taps(self) -> Cells:
        """Positions that output cell 0 reads."""
        return np.arange(self.kernel) * self.dilation - self.padding[0]

    def output_size(self, size: int) -> int:
        """Cells of the output for an input of `size` cells."""
        return output_size(
            size, self.kernel, self.stride, self.padding, self.dilation, self.ceil_mode
        )

    def reads(self, cells: Cells, size: int | None = None) -> Cells:
        """The positions that output `cells` read."""
        return _clip(np.add.outer(cells * self.stride, self.taps), size)

    def reaches(self, cells: Cells, size: int | None = None) -> Cells:
        """The output cells that read any of the input `cells`."""
        shifted = np.subtract.outer(cells, self.taps)
        reached = shifted[shifted % self.stride == 0] // self.stride
        return _clip(reached, None if size is None else self.output_size(size))

    def follow(self, reach: "Reach") -> "Reach":
        """The field of this layer's output, from that of its input: the recursions above."""
        return Reach(
            size=reach.size + (window_span(self.kernel, self.dilation) - 1) * reach.jump,
            jump=reach.jump * self.stride,
            start=reach.start - self.padding[0] * reach.jump,
        )


@dataclass(frozen=True)
class TransposedWindow:
    """One axis of a transposed convolution: a `Window` with reading and reaching exchanged.

    Repeating each cell `factor` times (nearest-neighbour upsampling) reads the same cells as
    `TransposedWindow(kernel=factor, stride=factor)`.
    """

    kernel: int
    stride: int = 1
    padding: tuple[int, int] = (0, 0)
    dilation: int = 1
    output_padding: int = 0

    @property
    def _window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding, self.dilation)

    def output_size(self, size: int) -> int:
        """Cells of the output for an input of `size` cells."""
        return transposed_output_size(
            size, self.kernel, self.stride, self.padding, self.output_padding, self.dilation
        )

    def reads(self, cells: Cells, size: int | None = None) -> Cells:
        """The positions that output `cells` read."""
        return _clip(self._window.reaches(cells), size)

    def reaches(self, cells: Cells, size: int | None = None) -> Cells:
        """The output cells that read any of the input `cells`."""
        limit = None if size is None else self.output_size(size)
        return _clip(self._window.reads(cells), limit)

    def follow(self, reach: "Reach") -> "Reach":
        """The field of this layer's output: a hull, since neighbours may see fewer cells."""
        jump = reach.jump / self.stride
        span = window_span(self.kernel, self.dilation)
        return Reach(
            size=reach.size + (span - 1) * jump,
            jump=jump,
            start=reach.start + (self.padding[0] - span + 1) * jump,
        )


@dataclass(frozen=True)
class WholeAxis:
    """A layer whose every output cell sees the whole axis: global pooling, or a linear layer."""

    cells: int = 1  # of the output

    def output_size(self, size: int) -> int:  # noqa: ARG002 the same for all sizes
        """Cells of the output."""
        return self.cells

    def reads(self, cells: Cells, size: int | None = None) -> Cells:
        """All input cells. Raises `RequestError` where the input's size is not known."""
        if size is None:
            raise RequestError("a layer that sees the whole axis needs the input's size")
        return np.arange(size if cells.size else 0)

    def reaches(self, cells: Cells, size: int | None = None) -> Cells:  # noqa: ARG002
        """All output cells."""
        return np.arange(self.cells if cells.size else 0)

    def follow(self, reach: "Reach") -> "Reach":  # noqa: ARG002 what was seen before is in it
        """A field without ends."""
        return WHOLE


@dataclass(frozen=True)
class Branches:
    """Chains that start at one map and meet again; an empty chain is a skip connection.

    A branch that ends in `WholeAxis` (a squeeze-and-excitation gate) is spread over the cells of
    the others, as PyTorch's broadcasting does.
    """

    chains: tuple["Chain", ...]

    def output_size(self, size: int) -> int:
        """Cells of the output. Raises `RequestError` where the branches' sizes do not agree."""
        ends = [map_sizes(chain, size)[-1] for chain in self.chains]
        cells = max(ends)
        if any(end not in (1, cells) for end in ends):
            raise RequestError(
                f"branches that meet have {' and '.join(map(str, ends))} cells from {size}; "
                "change padding or stride so that they agree"
            )
        return cells

    def reads(self, cells: Cells, size: int | None = None) -> Cells:
        """The positions that output `cells` read through any branch."""
        parts = [
            receptive_cells(chain, self._spread(chain, cells, size), size) for chain in self.chains
        ]
        return _clip(np.concatenate(parts), size)

    def reaches(self, cells: Cells, size: int | None = None) -> Cells:
        """The output cells that any of the input `cells` reaches through any branch."""
        parts = []
        for chain in self.chains:
            reached = projective_cells(chain, cells, size)
            everywhere = size is not None and reached.size and self._is_spread(chain, size)
            parts.append(np.arange(self.output_size(size or 0)) if everywhere else reached)
        return _clip(np.concatenate(parts), None)

    def follow(self, reach: "Reach") -> "Reach":
        """The hull of what the branches see. Raises `RequestError` where their jumps differ."""
        return merge(_follow(chain, reach) for chain in self.chains)

    def _is_spread(self, chain: "Chain", size: int) -> bool:
        return map_sizes(chain, size)[-1] == 1 < self.output_size(size)

    def _spread(self, chain: "Chain", cells: Cells, size: int | None) -> Cells:
        spread = size is not None and cells.size > 0 and self._is_spread(chain, size)
        return np.zeros(1, int) if spread else cells


Layer = Window | TransposedWindow | WholeAxis | Branches
Chain = Sequence[Layer]
"""Layers along one axis, the first one at the input."""


@dataclass(frozen=True)
class Reach:
    """What the cells of a map see of the input along one axis: `size` cells from a start.

    Cell i sees the positions start + i * jump to start + i * jump + size - 1; those outside
    the input are padding. Numbers are fractions after transposed layers, and infinite after a
    layer that sees everything.
    """

    size: Fraction | float = Fraction(1)  # input cells, padding included
    jump: Fraction = Fraction(1)  # input cells from one cell's field to its neighbour's
    start: Fraction | float = Fraction(0)  # first position that cell 0 sees

    @property
    def centre(self) -> Fraction | float:
        """Middle of what cell 0 sees, in input cells; 0 is the middle of the first one."""
        return math.nan if math.isinf(self.size) else self.start + (self.size - 1) / 2

    def interval(self, cell: int, size: int | None = None) -> tuple[int, int]:
        """First and last position that `cell` sees; clipped where the input's `size` is given.

        A clipped interval is empty, last < first, where the cell sees only padding. Cut at the
        border of the input alone it can be wider than what `receptive_cells` finds.
        """
        first, last = self._ends(cell)
        if size is not None:
            first, last = max(first, 0), min(last, size - 1)
        if math.isinf(first) or math.isinf(last):
            raise RequestError("a field over the whole axis needs the input's size")
        return math.ceil(first), math.floor(last)

    def _ends(self, cell: int) -> tuple[Fraction | float, Fraction | float]:
        if math.isinf(self.size):
            return -math.inf, math.inf
        first = self.start + cell * self.jump
        return first, first + self.size - 1


WHOLE = Reach(size=math.inf, start=-math.inf)


def reach(chain: Chain) -> Reach:
    """The receptive field of the last map of a chain, in closed form.

    >>> three = Window(3, padding=(1, 1))
    >>> field = reach([three, three, Window(2, stride=2)])
    >>> int(field.size), int(field.jump), int(field.start)
    (6, 2, -2)
    """
    return _follow(chain, Reach())


def _follow(chain: Chain, start: Reach) -> Reach:
    for layer in chain:
        start = layer.follow(start)
    return start


def merge(reaches: Iterable[Reach]) -> Reach:
    """The hull of fields whose maps meet. Raises `RequestError` where they drift apart.

    Maps of different jump cannot be laid over each other: cell i of one would look at another
    place than cell i of the other, the farther the larger i.
    """
    fields = list(reaches)
    finite = [field for field in fields if not math.isinf(field.size)]
    jumps = sorted({field.jump for field in finite})
    if len(jumps) > 1:
        listed = ", ".join(str(jump) for jump in jumps)
        raise RequestError(f"branches that meet step by {listed} input cells; strides must agree")
    if not finite:
        return WHOLE
    if len(finite) < len(fields):
        return Reach(math.inf, jumps[0], -math.inf)
    first = min(field.start for field in finite)
    last = max(field.start + field.size for field in finite)
    return Reach(last - first, jumps[0], first)


def misalignment(reaches: Iterable[Reach]) -> Fraction | float:
    """How far apart, in input cells, the branches that meet look: 0 where they are aligned.

    >>> left = reach([Window(3, padding=(1, 1))])
    >>> float(misalignment([left, reach([Window(2, padding=(0, 1))])]))
    0.5
    """
    centres = [field.centre for field in reaches if not math.isinf(field.size)]
    return max(centres) - min(centres) if centres else Fraction(0)


def map_sizes(chain: Chain, size: int) -> list[int]:
    """Cells of the input and of the map after each layer.

    >>> map_sizes([Window(3), Window(2, stride=2)], 28)
    [28, 26, 13]
    """
    sizes = [size]
    for layer in chain:
        sizes.append(layer.output_size(sizes[-1]))
    return sizes


def receptive_cells(chain: Chain, cells: int | Iterable[int], size: int | None = None) -> Cells:
    """The input cells that output `cells` depend on, exactly.

    With the input's `size` only real cells count, of the input and of every map on the way;
    without it padding counts as cells of an endless axis.

    >>> receptive_cells([Window(3, padding=(1, 1)), Window(3, stride=2)], 0, size=16)
    array([0, 1, 2, 3])
    """
    found = _clip(np.atleast_1d(np.asarray(cells, dtype=int)), None)
    sizes = [None] * len(chain) if size is None else map_sizes(chain, size)[:-1]
    for layer, layer_size in reversed(list(zip(chain, sizes, strict=True))):
        found = layer.reads(found, layer_size)
    return found


def projective_cells(chain: Chain, cells: int | Iterable[int], size: int | None = None) -> Cells:
    """The output cells that depend on any of the input `cells`, exactly.

    >>> projective_cells([Window(3, stride=2)], 4, size=16)
    array([1, 2])
    """
    found = _clip(np.atleast_1d(np.asarray(cells, dtype=int)), None)
    sizes = [None] * len(chain) if size is None else map_sizes(chain, size)[:-1]
    for layer, layer_size in zip(chain, sizes, strict=True):
        found = layer.reaches(found, layer_size)
    return found


def receptive_box(
    chains: Sequence[Chain], cell: Sequence[int], sizes: Sequence[int] | None = None
) -> tuple[tuple[int, int], ...] | None:
    """First and last input cell per axis of what an output cell sees: one chain an axis.

    None where it sees no input cell at all. `cell` and `sizes` have one number an axis.
    """
    return _box(receptive_cells, chains, cell, sizes)


def projective_box(
    chains: Sequence[Chain], cell: Sequence[int], sizes: Sequence[int] | None = None
) -> tuple[tuple[int, int], ...] | None:
    """First and last output cell per axis of what an input cell reaches; None for nothing."""
    return _box(projective_cells, chains, cell, sizes)


def _box(follow, chains, cell, sizes) -> tuple[tuple[int, int], ...] | None:
    limits = [None] * len(chains) if sizes is None else sizes
    axes = [follow(*axis) for axis in zip(chains, cell, limits, strict=True)]
    if not all(cells.size for cells in axes):
        return None
    return tuple((int(cells[0]), int(cells[-1])) for cells in axes)


def _clip(cells: np.ndarray, size: int | None) -> Cells:
    kept = cells if size is None else cells[(cells >= 0) & (cells < size)]
    return np.unique(kept)
