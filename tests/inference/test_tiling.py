from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from vitreous.data.transforms import Scaling
from vitreous.data.windows import WholePicture
from vitreous.errors import RequestError
from vitreous.inference import Compute
from vitreous.inference.dense import answer_mask, coarsest_stride, logit_slabs
from vitreous.inference.tiling import (
    Tiling,
    apply_by_tiles,
    mirror_averaged,
    padded_space,
    tile_starts,
    tiling_for,
)
from vitreous.insight.receptive_fields import receptive_fields
from vitreous.networks import build_network
from vitreous.networks.features.unet import UNetPlan
from vitreous.networks.graph import capture


def joined(slabs):
    slabs = list(slabs)
    ends = [0, *(rows.stop for rows, _ in slabs)]
    assert [rows.start for rows, _ in slabs] == ends[:-1]  # in order, nothing twice
    return torch.cat([values for _, values in slabs], dim=1)


def windows_of(values):
    return lambda window: values[(slice(None), *window)][None]


@given(st.data(), st.integers(1, 3), st.sampled_from(["uniform", "gaussian"]))
@settings(max_examples=60, deadline=None)
def test_weights_add_up_so_that_a_network_that_does_nothing_gives_the_input_back(
    data, axes, weights
):
    multiple = tuple(data.draw(st.sampled_from([1, 2, 4])) for _ in range(axes))
    size = [data.draw(st.integers(1, 12 if axes == 3 else 30)) for _ in range(axes)]
    space = padded_space(size, multiple)
    tiling = tiling_for(space, multiple, tile=data.draw(st.integers(2, 12)), margin=3,
                        weights=weights)  # fmt: skip
    values = torch.randn(2, *space)
    found = joined(apply_by_tiles(lambda x: x, windows_of(values), space, tiling))
    torch.testing.assert_close(found, values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_tiled_is_whole_where_the_network_reaches_no_further_than_the_margin(axes):
    convolution = [nn.Conv1d, nn.Conv2d, nn.Conv3d][axes - 1]
    torch.manual_seed(0)
    network = nn.Sequential(
        convolution(2, 4, 3, padding=1), nn.ReLU(), convolution(4, 3, 5, padding=2)
    ).eval()  # three cells each way
    space = (26, 22, 15)[:axes]
    values = torch.randn(2, *space)
    with torch.no_grad():
        whole = network(values[None])[0]
        for margin, alike in ((3, True), (2, False)):
            tiling = Tiling((13,) * axes, (margin,) * axes, (1,) * axes, "uniform")
            found = joined(apply_by_tiles(network, windows_of(values), space, tiling))
            assert torch.allclose(found, whole, rtol=1e-5, atol=1e-6) == alike


@given(st.integers(1, 200), st.integers(2, 60), st.integers(0, 20))
def test_inner_parts_of_tiles_cover_an_axis(size, tile, margin):
    tile = min(tile, size)
    margin = min(margin, (tile - 1) // 2)
    starts = tile_starts(size, tile, margin)
    assert starts[0] == 0
    assert starts[-1] + tile == size or size <= tile
    assert starts == sorted(set(starts))
    for one, other in pairwise(starts):
        assert other + margin <= one + tile - margin


def test_tiles_that_break_the_networks_grid_are_refused():
    with pytest.raises(RequestError, match="take multiples of 8"):
        Tiling((20,), (4,), (8,))
    with pytest.raises(RequestError, match="less than half of a tile"):
        Tiling((16,), (8,), (8,))


def test_mirror_images_are_answered_and_mirrored_back():
    inputs = torch.randn(1, 1, 4, 5)
    weight = torch.randn(5)

    def forward(x):
        return x * weight

    found = mirror_averaged(forward, (1,))(inputs)
    torch.testing.assert_close(found, inputs * (weight + weight.flip(0)) / 2)
    assert mirror_averaged(forward, ()) is forward
    seen = []
    mirror_averaged(lambda x: seen.append(x) or x, (0, 1))(inputs)
    assert len(seen) == 4
    assert torch.equal(seen[3], inputs.flip(2, 3))


@pytest.fixture(scope="module")
def small_unet():
    plan = UNetPlan.halving(2, (4, 8))
    network = build_network("unet", (3, 64, 64), 3, plan=plan, seed=0).eval()
    for module in network.modules():  # as after a training, so that every part matters
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network


@pytest.mark.parametrize("size", [(96, 128), (70, 131), (9, 8)])
def test_a_picture_by_tiles_is_the_picture_at_once(small_unet, size):
    pixels = np.random.default_rng(1).integers(0, 256, (3, *size), dtype=np.uint8)
    scaling = Scaling((0.5,) * 3, (0.25,) * 3)
    picture = WholePicture(pixels)
    space = padded_space(size, (2, 2))
    tiling = tiling_for(space, (2, 2), tile=48, margin=16, weights="uniform")
    whole = joined(logit_slabs(small_unet, picture, scaling, Compute()))
    tiled = joined(logit_slabs(small_unet, picture, scaling, Compute(), tiling=tiling))
    assert whole.shape == (3, *size)
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-5)
    slabs = logit_slabs(small_unet, picture, scaling, Compute())
    assert (answer_mask(slabs, size) == whole.argmax(0).numpy()).all()


def test_behind_its_border_a_picture_is_continued_by_its_mirror_image(small_unet):
    pixels = np.random.default_rng(3).integers(0, 256, (3, 7, 9), dtype=np.uint8)
    scaling = Scaling((0.5,) * 3, (0.25,) * 3)
    rows, columns = [*range(7), 5], [*range(9), 7]
    mirrored = WholePicture(np.ascontiguousarray(pixels[:, rows][:, :, columns]))
    got = joined(logit_slabs(small_unet, WholePicture(pixels), scaling, Compute()))
    wanted = joined(logit_slabs(small_unet, mirrored, scaling, Compute()))
    assert torch.equal(got, wanted[:, :7, :9])
    one_row = WholePicture(pixels[:, :1])  # with nothing to mirror
    assert joined(logit_slabs(small_unet, one_row, scaling, Compute())).shape == (3, 1, 9)


def reach_of(network, size):
    """Pixels, the most over all cells of the answer, that it sees beyond a cell's own place."""
    graph = capture(network, torch.zeros(1, 3, *size))
    field = receptive_fields(graph)[graph.outputs[0]]
    boxes = [(place, field.box((0, 0, place, place))) for place in range(size[0])]
    return max(max(place - box[0][0], box[0][1] - place) for place, box in boxes)


def test_a_large_picture_by_tiles_is_the_picture_at_once():
    """2,048 x 2,048 pixels, by a network that reaches less far than the margin of usual tiles."""
    plan = UNetPlan.halving(2, (2, 2, 4))
    network = build_network("unet", (3, 64, 64), 2, plan=plan, seed=0).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    size, multiple = (2048, 2048), coarsest_stride(network)
    tiling = tiling_for(size, multiple, weights="uniform")
    assert 8 < reach_of(network, (128, 128)) <= min(tiling.margin)
    pixels = np.random.default_rng(2).integers(0, 256, (3, *size), dtype=np.uint8)
    scaling = Scaling((0.5,) * 3, (0.25,) * 3)
    picture = WholePicture(pixels)
    at_once = Tiling(size, (0, 0), multiple, "uniform")
    whole = joined(logit_slabs(network, picture, scaling, Compute(), tiling=at_once))
    tiled = joined(logit_slabs(network, picture, scaling, Compute(), tiling=tiling))
    torch.testing.assert_close(tiled, whole, rtol=1e-4, atol=1e-5)
    corner = WholePicture(pixels[:, :256, :256])
    at_once = Tiling((256, 256), (0, 0), multiple, "uniform")
    narrow = tiling_for((256, 256), multiple, tile=96, margin=4, weights="uniform")
    whole, cut_off = (
        joined(logit_slabs(network, corner, scaling, Compute(), tiling=one))
        for one in (at_once, narrow)
    )
    assert float((cut_off - whole).abs().max()) > 1e-3


def test_gaussian_tiles_come_near_and_leave_no_seam(small_unet):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 128, 128), dtype=np.uint8)
    scaling = Scaling((0.5,) * 3, (0.25,) * 3)
    tiling = tiling_for((128, 128), (2, 2), tile=64, margin=16)
    picture = WholePicture(pixels)
    whole = joined(logit_slabs(small_unet, picture, scaling, Compute()))
    tiled = joined(logit_slabs(small_unet, picture, scaling, Compute(), tiling=tiling))
    assert float((tiled - whole).abs().mean()) < 0.02 * float(whole.abs().mean())
