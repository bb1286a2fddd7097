import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.convolution.arithmetic import (
    Branches,
    TransposedWindow,
    WholeAxis,
    Window,
    map_sizes,
    merge,
    misalignment,
    output_size,
    projective_box,
    projective_cells,
    reach,
    receptive_box,
    receptive_cells,
    transposed_output_size,
)
from vitreous.errors import RequestError


def dependence(layer, size: int) -> np.ndarray:
    """Which output cells torch changes when one input cell is one: bool (output, input)."""
    basis = torch.eye(size, dtype=torch.float64)[:, None]
    if isinstance(layer, WholeAxis):
        return np.ones((layer.cells, size), bool)
    if isinstance(layer, Branches):
        parts = [dependence_of_chain(chain, size) for chain in layer.chains]
        cells = max(len(part) for part in parts)
        spread = [np.broadcast_to(part, (cells, size)) for part in parts]
        return np.logical_or.reduce(spread)
    ones = torch.ones(1, 1, layer.kernel, dtype=torch.float64)
    if isinstance(layer, TransposedWindow):
        end = layer.padding[0]
        answer = F.conv_transpose1d(
            basis, ones, None, layer.stride, 0, layer.output_padding, 1, layer.dilation
        )
        answer = answer[:, :, end : answer.shape[-1] - layer.padding[1]]
    else:
        answer = F.conv1d(F.pad(basis, layer.padding), ones, None, layer.stride, 0, layer.dilation)
    return (answer[:, 0] != 0).numpy().T


def dependence_of_chain(chain, size: int) -> np.ndarray:
    matrix = np.eye(size, dtype=bool)
    for layer in chain:
        matrix = dependence(layer, len(matrix)) @ matrix
    return matrix


small = st.integers(1, 3)
windows = st.builds(
    Window,
    kernel=st.integers(1, 4),
    stride=small,
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=small,
)


@st.composite
def transposed_windows(draw):
    stride = draw(small)
    return TransposedWindow(
        kernel=draw(st.integers(1, 4)),
        stride=stride,
        padding=draw(st.tuples(st.integers(0, 1), st.integers(0, 1))),
        dilation=draw(small),
        output_padding=draw(st.integers(0, stride - 1)),
    )


@st.composite
def residuals(draw):
    """Two or three branches that keep the size: odd kernels, stride 1, "same" padding."""
    kernels = draw(st.lists(st.sampled_from([(1, 1), (3, 1), (3, 2), (5, 1)]), max_size=2))
    branches = [[Window(k, 1, (d * (k - 1) // 2,) * 2, d)] for k, d in kernels]
    gate = draw(st.sampled_from([[], [[WholeAxis()]]]))
    return Branches(((), *map(tuple, branches), *map(tuple, gate)))


chains = st.lists(st.one_of(windows, windows, transposed_windows(), residuals()), max_size=4)


def fits(chain, size: int) -> bool:
    try:
        return max(map_sizes(chain, size)) < 120
    except RequestError:
        return False


@settings(max_examples=250, deadline=None)
@given(chains, st.integers(1, 24))
def test_cells_seen_and_reached_equal_what_torch_depends_on(chain, size):
    assume(fits(chain, size))
    matrix = dependence_of_chain(chain, size)
    assert len(matrix) == map_sizes(chain, size)[-1]
    for cell, row in enumerate(matrix):
        assert receptive_cells(chain, cell, size).tolist() == np.flatnonzero(row).tolist()
    for cell, column in enumerate(matrix.T):
        assert projective_cells(chain, cell, size).tolist() == np.flatnonzero(column).tolist()


@settings(max_examples=250, deadline=None)
@given(st.lists(windows, max_size=4), st.integers(-9, 9))
def test_closed_form_equals_the_cells_of_an_endless_axis(chain, cell):
    cells = receptive_cells(chain, cell)
    assert reach(chain).interval(cell) == (cells[0], cells[-1])


@settings(max_examples=150, deadline=None)
@given(chains, st.integers(1, 24))
def test_clipped_closed_form_holds_all_cells_seen(chain, size):
    assume(fits(chain, size))
    field = reach(chain)
    for cell in range(map_sizes(chain, size)[-1]):
        seen = receptive_cells(chain, cell, size)
        first, last = field.interval(cell, size)
        assert all(first <= position <= last for position in seen)


@settings(max_examples=100, deadline=None)
@given(chains, st.integers(1, 16), st.data())
def test_an_input_cell_is_seen_by_exactly_the_cells_that_it_reaches(chain, size, data):
    assume(fits(chain, size))
    cell = data.draw(st.integers(0, size - 1))
    for reached in projective_cells(chain, cell, size):
        assert cell in receptive_cells(chain, int(reached), size)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 30), st.integers(1, 4), small, st.integers(0, 2), small, st.booleans())
def test_sizes_equal_those_of_torch(size, kernel, stride, padding, dilation, ceil_mode):
    padding = min(padding, kernel // 2)  # as torch's pooling wants it
    layer = nn.MaxPool1d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
    try:
        expected = layer(torch.zeros(1, 1, size)).shape[-1]
    except RuntimeError:
        assume(size + 2 * padding < dilation * (kernel - 1) + 1)
        with pytest.raises(RequestError, match="does not fit"):
            output_size(size, kernel, stride, padding, dilation, ceil_mode)
        return
    assume(size + 2 * padding >= dilation * (kernel - 1) + 1)
    assert output_size(size, kernel, stride, padding, dilation, ceil_mode) == expected


def test_transposed_size_equals_that_of_torch():
    layer = nn.ConvTranspose1d(1, 1, 5, stride=3, padding=2, output_padding=1, dilation=2)
    expected = layer(torch.zeros(1, 1, 11)).shape[-1]
    assert transposed_output_size(11, 5, 3, 2, 1, 2) == expected


def test_padding_away_a_transposed_output_is_an_error():
    with pytest.raises(RequestError, match="leaves nothing"):
        transposed_output_size(1, kernel=2, padding=1)


def convolution_3(stride: int = 1) -> Window:
    return Window(3, stride, (1, 1))


def vgg16() -> list[Window]:
    stages = (2, 2, 3, 3, 3)
    return [layer for n in stages for layer in [*[convolution_3()] * n, Window(2, 2)]]


def residual_block(stride: int) -> Branches:
    skip = (Window(1, stride),) if stride > 1 else ()
    return Branches((skip, (convolution_3(stride), convolution_3())))


def resnet18() -> list:
    stem = [Window(7, 2, (3, 3)), Window(3, 2, (1, 1))]
    blocks = [residual_block(stride) for stride in (1, 1, 2, 1, 2, 1, 2, 1)]
    return stem + blocks


def test_published_field_of_vgg16():
    """212 cells after the last pooling: Araujo et al. 2019, table of common networks."""
    assert (reach(vgg16()).size, reach(vgg16()).jump) == (212, 32)
    assert reach(vgg16()[:-1]).size == 196


def test_field_of_resnet18_equals_brute_force():
    """435 cells; counted here from what torch's convolutions depend on, on a long axis."""
    field = reach(resnet18())
    matrix = dependence_of_chain(resnet18(), 992)
    middle = len(matrix) // 2
    seen = np.flatnonzero(matrix[middle])
    assert (field.size, field.jump) == (435, 32)
    assert field.interval(middle) == (seen[0], seen[-1])
    assert misalignment([reach([]), reach([convolution_3()])]) == 0


def test_box_equals_the_gradient_of_a_network_in_two_dimensions():
    network = nn.Sequential(
        nn.Conv2d(1, 1, (3, 2), (2, 1), (1, 0), bias=False),
        nn.Conv2d(1, 1, (2, 3), (1, 2), dilation=(2, 1), bias=False),
        nn.ConvTranspose2d(1, 1, 3, 2, 1, bias=False),
    ).double()
    for weights in network.parameters():
        nn.init.ones_(weights)
    rows = [Window(3, 2, (1, 1)), Window(2, dilation=2), TransposedWindow(3, 2, (1, 1))]
    columns = [Window(2), Window(3, 2), TransposedWindow(3, 2, (1, 1))]
    picture = torch.zeros(1, 1, 20, 17, dtype=torch.float64, requires_grad=True)
    answer = network(picture)[0, 0]
    for cell in np.ndindex(*answer.shape):
        (gradient,) = torch.autograd.grad(answer[cell], picture, retain_graph=True)
        seen = np.nonzero(gradient[0, 0].numpy())
        hull = tuple((int(axis.min()), int(axis.max())) for axis in seen)
        assert receptive_box([rows, columns], cell, (20, 17)) == hull
        first = (hull[0][0], hull[1][0])
        assert all(
            low <= place <= high
            for place, (low, high) in zip(
                cell, projective_box([rows, columns], first, (20, 17)), strict=True
            )
        )


def test_a_strided_point_kernel_leaves_cells_unseen():
    assert projective_box([[Window(1, 2)]], (1,), (8,)) is None


def test_branches_of_different_stride_do_not_merge():
    with pytest.raises(RequestError, match="strides must agree"):
        merge([reach([convolution_3(2)]), reach([convolution_3()])])
    with pytest.raises(RequestError, match="cells from 9"):
        map_sizes([Branches(((), (convolution_3(2),)))], 9)


def test_even_kernel_beside_a_skip_is_misaligned_by_half_a_cell():
    assert misalignment([reach([]), reach([Window(2, padding=(0, 1))])]) == 0.5


def test_a_gate_over_the_whole_axis_sees_everything():
    gated = [convolution_3(), Branches(((), (WholeAxis(),)))]
    assert receptive_cells(gated, 0, 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert reach(gated).interval(2, size=6) == (0, 5)
    with pytest.raises(RequestError, match="needs the input's size"):
        reach(gated).interval(2)
