"""What the operations of a captured network are called, and the numbers that describe them."""

import math
from collections.abc import Sequence
from typing import Any

Shape = tuple[int, ...]

OPERATIONS: dict[str, str] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), "convolution"),
    **dict.fromkeys(
        ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), "transposed convolution"
    ),
    "linear": "linear",
    **dict.fromkeys(("matmul", "mm", "bmm", "addmm"), "matrix product"),
    "batch_norm": "batch norm",
    "layer_norm": "layer norm",
    "group_norm": "group norm",
    "instance_norm": "instance norm",
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), "max pool"),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), "average pool"),
    **dict.fromkeys(
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
        "adaptive average pool",
    ),
    **dict.fromkeys(
        ("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"), "adaptive max pool"
    ),
    "mean": "mean",
    "sum": "sum",
    "amax": "maximum",
    "amin": "minimum",
    "linalg_vector_norm": "vector norm",
    **dict.fromkeys(("softmax", "_softmax"), "softmax"),
    **dict.fromkeys(("log_softmax", "_log_softmax"), "log softmax"),
    **dict.fromkeys(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"), "interpolate nearest"
    ),
    **dict.fromkeys(
        ("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d"), "interpolate linear"
    ),
    "upsample_bicubic2d": "interpolate cubic",
    **dict.fromkeys(("pad", "constant_pad_nd"), "pad"),
    **dict.fromkeys(("cat", "concat"), "concatenate"),
    "add": "add",
    "addcmul": "multiply and add",
    "sub": "subtract",
    "mul": "multiply",
    "div": "divide",
    "pow": "power",
    "relu": "relu",
    "leaky_relu": "leaky relu",
    "prelu": "prelu",
    "elu": "elu",
    "selu": "selu",
    "celu": "celu",
    "gelu": "gelu",
    "silu": "silu",
    "mish": "mish",
    "hardtanh": "clamp",
    **dict.fromkeys(("clamp", "clamp_min", "clamp_max"), "clamp"),
    "hardswish": "hard swish",
    "hardsigmoid": "hard sigmoid",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "softplus": "softplus",
    "exp": "exponential",
    "log": "logarithm",
    "sqrt": "square root",
    "rsqrt": "reciprocal square root",
    "square": "square",
    "abs": "absolute value",
    "neg": "negate",
    **dict.fromkeys(
        ("view", "reshape", "_unsafe_view", "flatten", "unflatten", "squeeze", "unsqueeze"),
        "reshape",
    ),
    **dict.fromkeys(("permute", "transpose", "t"), "permute"),
    **dict.fromkeys(("split", "split_with_sizes", "chunk"), "split"),
    "getitem": "part",
    "slice": "slice",
    **dict.fromkeys(
        ("clone", "alias", "dropout", "detach", "contiguous", "_to_copy", "to", "lift_fresh_copy"),
        "identity",
    ),
}
"""ATen's name to a plain one. What is missing here keeps ATen's name and is not `understood`."""

LAYERS = {
    *("convolution", "transposed convolution", "linear"),
    *("batch norm", "layer norm", "group norm", "instance norm", "prelu"),
}
"""Operations that give a module its name: a module has one of them, whatever else it does."""

ELEMENTWISE = {
    "multiply and add",
    *("add", "subtract", "multiply", "divide", "power", "relu", "leaky relu", "prelu", "elu"),
    *("selu", "celu"),
    *("gelu", "silu", "mish", "clamp", "hard swish", "hard sigmoid", "sigmoid", "tanh", "softplus"),
    *("exponential", "logarithm", "square root", "reciprocal square root", "square"),
    *("absolute value", "negate", "identity", "batch norm"),
}
"""Operations whose output cell reads the same cell of each input (after broadcasting)."""

REDUCTIONS = {"mean", "sum", "maximum", "minimum", "vector norm"}
"""Operations that make one number of all along some axes (`dim`; all axes without it)."""

WINDOWED = {"convolution", "transposed convolution", "max pool", "average pool"}
"""Operations that slide a window: kernel_size, stride, padding, dilation."""


def window_attributes(operation: str, attributes: dict[str, Any], kernel: Shape) -> dict[str, Any]:
    """The attributes with kernel_size, stride, padding, ... spelled out, one entry an axis.

    `padding` becomes ((before, after), ...), also where it was "same" or "valid". `kernel` is the
    spatial shape of the weight; empty for pooling, which carries `kernel_size` itself.
    """
    if operation not in WINDOWED:
        return attributes
    size = kernel or tuple(attributes["kernel_size"])
    axes = len(size)
    full = dict(attributes, kernel_size=per_axis(size, axes))
    full["stride"] = per_axis(attributes.get("stride") or size, axes)
    full["dilation"] = per_axis(attributes.get("dilation", 1), axes)
    full["padding"] = _padding(attributes.get("padding", 0), full["kernel_size"], full["dilation"])
    if operation == "transposed convolution":
        full["output_padding"] = per_axis(attributes.get("output_padding", 0), axes)
    return full


def per_axis(value: int | Sequence[int], axes: int) -> Shape:
    """One number an axis, from one for all or one for each.

    >>> per_axis([3], 2), per_axis((3, 5), 2)
    ((3, 3), (3, 5))
    """
    values = (value,) if isinstance(value, int) else tuple(value)
    return values * axes if len(values) == 1 else values


def _padding(padding: Any, kernel: Shape, dilation: Shape) -> tuple[tuple[int, int], ...]:
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding == "same":
        totals = [step * (size - 1) for size, step in zip(kernel, dilation, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    return tuple((cells, cells) for cells in per_axis(padding, len(kernel)))


def multiply_adds(operation: str, shapes: dict[str, Shape], output: Shape) -> int:
    """Multiplications with a weight (each with its addition) of one operation.

    `shapes` has the shape of each tensor by its argument's name. Convolutions, linear layers and
    matrix products count; biases, norms, pooling and activations do not, as is the custom.
    """
    match operation:
        case "convolution":
            return math.prod(output) * math.prod(shapes["weight"][1:])
        case "transposed convolution":
            return math.prod(shapes["input"]) * math.prod(shapes["weight"][1:])
        case "linear":
            return math.prod(output) * shapes["weight"][-1]
        case "matrix product":
            first = shapes["mat1"] if "mat1" in shapes else shapes["input"]
            return math.prod(output) * first[-1]
        case _:
            return 0
