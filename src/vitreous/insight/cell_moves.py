"""What stands behind a cell that was only moved: reshaping, cutting, joining, padding."""

import numpy as np

from vitreous.convolution.terms import NOWHERE
from vitreous.insight.cells import Explanation, Index, Place


def identity(place: Place) -> Explanation:
    """The same number."""
    return _moved(place, "input", place.index)


def reshape(place: Place) -> Explanation:
    """The number at the same place, counted row by row."""
    flat = int(np.ravel_multi_index(place.index, place.node.shape))
    index = np.unravel_index(flat, place.tensor("input").shape)
    return _moved(place, "input", tuple(int(axis) for axis in index))


def permute(place: Place) -> Explanation:
    """The number at the place with its axes put back."""
    rank = len(place.index)
    order = place.attribute("dims")
    if order is None:  # `transpose` and `t` exchange two axes
        first, second = place.attribute("dim0", 0) % rank, place.attribute("dim1", -1) % rank
        order = list(range(rank))
        order[first], order[second] = order[second], order[first]
    index = [0] * rank
    for axis, came_from in enumerate(order):
        index[came_from % rank] = place.index[axis]
    return _moved(place, "input", tuple(index))


def cut(place: Place) -> Explanation:
    """The number at the place before the cut."""
    axis = place.attribute("dim", 0) % len(place.index)
    size = place.tensor("input").shape[axis]
    start = place.attribute("start") or 0
    start = max(0, start + size) if start < 0 else min(start, size)
    at = start + place.index[axis] * place.attribute("step", 1)
    return _moved(place, "input", _with(place.index, axis, at))


def part(place: Place) -> Explanation:
    """The number in one of the parts that a tensor was split into."""
    split = place.graph[place.node.inputs["input"]]
    if split.operation != "split":
        raise place.refusal(f"{split.target} has several results")
    whole = Place(place.graph, place.values, split, place.index)
    axis = whole.attribute("dim", 0) % len(place.index)
    before = sum(shape[axis] for shape in split.shapes[: place.attribute("index")])
    return _moved(whole, "input", _with(place.index, axis, before + place.index[axis]))


def only_part(place: Place) -> Explanation:
    """The number in the one part that is read of what a tensor was split into."""
    number = place.attribute("part")
    if number is None:
        raise place.refusal("it has several results; open one of its parts")
    axis = place.attribute("dim", 0) % len(place.index)
    sizes = place.attribute("split_size", place.attribute("split_sizes"))
    if sizes is None:  # chunk: parts of equal size, the last one what is left
        total, chunks = place.tensor("input").shape[axis], place.attribute("chunks")
        sizes = -(-total // chunks)
    before = number * sizes if isinstance(sizes, int) else sum(sizes[:number])
    return _moved(place, "input", _with(place.index, axis, before + place.index[axis]))


def concatenate(place: Place) -> Explanation:
    """The number in the tensor that was laid here."""
    axis = place.attribute("dim", 0) % len(place.index)
    at, number = place.index[axis], 0
    while place.has(f"tensors_{number}"):
        size = place.tensor(f"tensors_{number}").shape[axis]
        if at < size:
            return _moved(place, f"tensors_{number}", _with(place.index, axis, at))
        at, number = at - size, number + 1
    raise place.refusal("its parts do not add up")


def pad(place: Place) -> Explanation:
    """The number inside, or what the border was filled with."""
    shape = place.tensor("input").shape
    pads, mode = place.attribute("pad"), place.attribute("mode", "constant")
    index = list(place.index)
    for step in range(len(pads) // 2):  # the last axis comes first
        axis = len(shape) - 1 - step
        index[axis] = _inside(index[axis] - pads[2 * step], shape[axis], mode)
    if NOWHERE in index:
        value = float(place.attribute("value") or 0.0)
        return Explanation(f"the border is filled with {value:g}", value, 0.0, ())
    return _moved(place, "input", tuple(index))


def _inside(at: int, size: int, mode: str) -> int:
    """The input cell that is read for position `at`, outside the input too."""
    if 0 <= at < size:
        return at
    match mode:
        case "reflect":
            period = max(1, 2 * (size - 1))
            folded = abs(at) % period
            return period - folded if folded >= size else folded
        case "replicate":
            return min(max(at, 0), size - 1)
        case "circular":
            return at % size
        case _:
            return NOWHERE


def _with(index: Index, axis: int, at: int) -> Index:
    return (*index[:axis], at, *index[axis + 1 :])


def _moved(place: Place, argument: str, index: Index) -> Explanation:
    operand = place.operand(argument, [index])
    return Explanation("the same number", float(operand.values[0]), 0.0, (operand,))
