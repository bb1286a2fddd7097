"""What stands behind a cell that was normalised, or is a share of a whole."""

import math

import numpy as np

from vitreous.convolution import BatchNormSteps, batch_norm_steps
from vitreous.convolution.normalisation import NORMALISATION_TOLERANCE
from vitreous.insight.cells import Explanation, Index, Place, element_tolerance

NORMALISED = "(value − mean) / deviation × scale + shift"


def batch_norm(place: Place) -> Explanation:
    """By the running mean and variance of the channel."""
    if place.attribute("training", False):
        raise place.refusal("it uses the statistics of the batch")
    steps = batch_norm_steps(
        place.tensor("input")[0],
        place.fixed("running_mean"),
        place.fixed("running_var"),
        place.optional("weight"),
        place.optional("bias"),
        cell=place.cell,
        epsilon=place.attribute("eps"),
    )
    return _of_steps(place, steps, [place.index], steps.difference(0.0).tolerance)


def layer_norm(place: Place) -> Explanation:
    """By the mean and variance of the last axes at one position."""
    axes = len(place.attribute("normalized_shape"))
    tail = place.index[-axes:]
    fixed = place.index[:-axes]
    members = [(*fixed, *at) for at in np.ndindex(*place.node.shape[-axes:])]
    scale, shift = place.optional("weight"), place.optional("bias")
    return _by_members(place, members, _at(scale, tail, 1.0), _at(shift, tail, 0.0))


def group_norm(place: Place) -> Explanation:
    """By the mean and variance of a group of channels."""
    channels, space = place.node.shape[1], place.node.shape[2:]
    size = channels // place.attribute("num_groups")
    first = place.index[1] // size * size
    members = [
        (0, channel, *at) for channel in range(first, first + size) for at in np.ndindex(*space)
    ]
    return _by_channel(place, members)


def instance_norm(place: Place) -> Explanation:
    """By the mean and variance of one channel of this sample."""
    if not place.attribute("use_input_stats", True):
        raise place.refusal("it uses running statistics")
    members = [(0, place.index[1], *at) for at in np.ndindex(*place.node.shape[2:])]
    return _by_channel(place, members)


def softmax(place: Place) -> Explanation:
    """The exponential of the value over the sum of all exponentials along the axis."""
    logarithm = place.node.operation == "log softmax"
    axis = place.attribute("dim") % len(place.index)
    members = [
        (*place.index[:axis], at, *place.index[axis + 1 :]) for at in range(place.node.shape[axis])
    ]
    operand = place.operand("input", members)
    largest = float(operand.values.max())
    powers = np.exp(operand.values - largest)
    own = float(operand.values[place.index[axis]]) - largest
    whole = float(powers.sum())
    share = math.exp(own) / whole
    total = own - math.log(whole) if logarithm else share
    steps = {"largest": largest, "exp(value − largest)": math.exp(own), "sum of those": whole}
    formula = "exp(value − largest) / sum of those over all"
    return Explanation(
        f"log of {formula}" if logarithm else formula,
        total,
        element_tolerance(total * max(1.0, abs(own))),  # exp carries the rounding of its argument
        (operand,),
        steps=steps,
    )


def _by_channel(place: Place, members: list[Index]) -> Explanation:
    channel = place.index[1:2]
    scale, shift = place.optional("weight"), place.optional("bias")
    return _by_members(place, members, _at(scale, channel, 1.0), _at(shift, channel, 0.0))


def _by_members(place: Place, members: list[Index], scale: float, shift: float) -> Explanation:
    """By the mean and the (biased) variance of the members, as layer norm and its like do."""
    values = place.operand("input", members).values
    size = float(np.abs(values).mean())  # the mean carries the rounding of all of them
    steps = BatchNormSteps(
        cell=place.cell,
        value=float(place.operand("input", [place.index]).values[0]),
        mean=float(values.mean()),
        variance=float(values.var()),
        epsilon=place.attribute("eps"),
        scale=scale,
        shift=shift,
        operation=place.node.operation,
    )
    multiply = abs(steps.scale / steps.deviation)
    magnitude = multiply * (abs(steps.value) + size) + abs(steps.shift)
    return _of_steps(place, steps, members, NORMALISATION_TOLERANCE * magnitude)


def _of_steps(
    place: Place, steps: BatchNormSteps, members: list[Index], tolerance: float
) -> Explanation:
    own = [place.index] + [member for member in members if member != place.index]
    return Explanation(
        NORMALISED,
        steps.total,
        tolerance,
        (place.operand("input", own),),
        steps={
            "value": steps.value,
            "mean": steps.mean,
            "deviation": steps.deviation,
            "scale": steps.scale,
            "shift": steps.shift,
        },
        details=steps,
    )


def _at(numbers: np.ndarray | None, index: Index, otherwise: float) -> float:
    return otherwise if numbers is None else float(numbers[index])
