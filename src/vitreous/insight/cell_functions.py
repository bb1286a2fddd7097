"""What stands behind a cell that is a function of one number, or of two at the same place."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vitreous.insight.cells import Explanation, Place, element_tolerance

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805  # Klambauer et al. 2017

Numbers = Mapping[str, Any]
"""The values of the operands and the operation's plain settings, by argument."""


@dataclass(frozen=True)
class Function:
    """How people write it, and what it gives; `sizes` are the numbers that rounding goes by."""

    formula: str
    value: Callable[[Numbers], float]
    sizes: Callable[[Numbers], tuple[float, ...]] = lambda numbers: ()  # noqa: ARG005


def elementwise(place: Place) -> Explanation:
    """The function of the operation, at the numbers of the same cell (after broadcasting)."""
    function = FUNCTIONS[place.node.operation]
    arguments = [*place.node.inputs, *place.node.parameters]
    operands = {name: place.operand(name, [_seen(place, name)]) for name in arguments}
    numbers = {
        **place.node.attributes,
        **{name: float(operand.values[0]) for name, operand in operands.items()},
    }
    if numbers.get("rounding_mode") is not None:
        raise place.refusal("a division that rounds is not known")
    total = function.value(numbers)
    return Explanation(
        function.formula,
        total,
        element_tolerance(total, *function.sizes(numbers)),
        tuple(operands.values()),
    )


def _seen(place: Place, argument: str) -> tuple[int, ...]:
    """The place that is read of an operand that may have fewer or shorter axes."""
    shape = place.tensor(argument).shape
    if place.node.operation == "prelu" and argument == "weight":  # a number a channel
        return (place.index[1] if shape[0] > 1 else 0,)
    index = place.index[len(place.index) - len(shape) :]
    return tuple(0 if size == 1 else at for at, size in zip(index, shape, strict=True))


def _own(numbers: Numbers) -> tuple[float, ...]:
    return (numbers["input"],)


def _both(numbers: Numbers) -> tuple[float, ...]:
    return (numbers["input"], numbers.get("alpha", 1) * numbers["other"])


def _clamped(n: Numbers) -> float:
    low, high = n.get("min_val", n.get("min")), n.get("max_val", n.get("max"))
    value = n["input"] if low is None else max(n["input"], low)
    return value if high is None else min(value, high)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _softplus(n: Numbers) -> float:
    x, beta = n["input"], n.get("beta", 1)
    if x * beta > n.get("threshold", 20):
        return x
    return max(x, 0.0) + math.log1p(math.exp(-abs(x * beta))) / beta


def _gelu(n: Numbers) -> float:
    x = n["input"]
    if n.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * math.erfc(-x / math.sqrt(2))


def _elu(n: Numbers) -> float:
    x, alpha, scale = n["input"], n.get("alpha", 1), n.get("scale", 1)
    return scale * (x if x > 0 else alpha * math.expm1(x * n.get("input_scale", 1)))


def _selu(n: Numbers) -> float:
    return _elu({"input": n["input"], "alpha": SELU_ALPHA, "scale": SELU_SCALE})


def _celu(n: Numbers) -> float:
    x, alpha = n["input"], n.get("alpha", 1)
    return x if x > 0 else alpha * math.expm1(x / alpha)


def _mish(n: Numbers) -> float:
    return n["input"] * math.tanh(_softplus({"input": n["input"]}))


def _power(n: Numbers) -> float:
    return float(n["input"] ** n["exponent"])


def _multiplied_and_added(n: Numbers) -> float:
    return n["input"] + n.get("value", 1) * n["tensor1"] * n["tensor2"]


def _sixths(x: float) -> float:
    return min(max(x + 3, 0.0), 6.0) / 6


FUNCTIONS: dict[str, Function] = {
    "add": Function("input + other", lambda n: n["input"] + n.get("alpha", 1) * n["other"], _both),
    "subtract": Function(
        "input − other", lambda n: n["input"] - n.get("alpha", 1) * n["other"], _both
    ),
    "multiply": Function("input × other", lambda n: n["input"] * n["other"]),
    "divide": Function("input / other", lambda n: n["input"] / n["other"]),
    "power": Function("input to the power of the exponent", _power),
    "multiply and add": Function(
        "input + value × tensor1 × tensor2",
        _multiplied_and_added,
        lambda n: (n["input"], n.get("value", 1) * n["tensor1"] * n["tensor2"]),
    ),
    "relu": Function("max(0, x)", lambda n: max(n["input"], 0.0)),
    "leaky relu": Function(
        "x, or slope × x below 0",
        lambda n: n["input"] if n["input"] > 0 else n.get("negative_slope", 0.01) * n["input"],
    ),
    "prelu": Function(
        "x, or weight × x below 0",
        lambda n: n["input"] if n["input"] > 0 else n["weight"] * n["input"],
    ),
    "elu": Function("x, or alpha × (exp(x) − 1) below 0", _elu),
    "selu": Function("scale × x, or scale × alpha × (exp(x) − 1) below 0", _selu),
    "celu": Function("x, or alpha × (exp(x / alpha) − 1) below 0", _celu),
    "gelu": Function("x × share of a normal distribution below x", _gelu, _own),
    "silu": Function("x / (1 + exp(−x))", lambda n: n["input"] * _logistic(n["input"]), _own),
    "mish": Function("x × tanh(log(1 + exp(x)))", _mish, _own),
    "clamp": Function("x, kept between the two limits", _clamped),
    "hard swish": Function(
        "x × min(max(x + 3, 0), 6) / 6", lambda n: n["input"] * _sixths(n["input"]), _own
    ),
    "hard sigmoid": Function("min(max(x + 3, 0), 6) / 6", lambda n: _sixths(n["input"])),
    "sigmoid": Function("1 / (1 + exp(−x))", lambda n: _logistic(n["input"])),
    "tanh": Function("tanh(x)", lambda n: math.tanh(n["input"])),
    "softplus": Function("log(1 + exp(x))", _softplus),
    "exponential": Function(
        "exp(x)",
        lambda n: math.exp(n["input"]),
        lambda n: (n["input"] * math.exp(n["input"]),),  # the argument's own rounding
    ),
    "logarithm": Function("log(x)", lambda n: math.log(n["input"])),
    "square root": Function("√x", lambda n: math.sqrt(n["input"])),
    "reciprocal square root": Function("1 / √x", lambda n: 1 / math.sqrt(n["input"])),
    "square": Function("x²", lambda n: n["input"] ** 2),
    "absolute value": Function("|x|", lambda n: abs(n["input"])),
    "negate": Function("−x", lambda n: -n["input"]),
}
"""The operations that work number by number."""
