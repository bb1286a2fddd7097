"""See-through on whole networks at their real sizes: every number, every field, a broken kernel.

Run by `make acceptance`; figures are printed and written to benchmarks/results/see_through.json.
"""

import json
import random
import time
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from tests.insight.fields import CHANGING, assert_fields_are_measured, letting_all_through
from tests.insight.paths import inputs_for, paths_from_every_layer, real_network

from benchmarks.results import FOLDER, keep
from vitreous.insight.trace import Trace, trace_of
from vitreous.networks import build_network
from vitreous.networks.features.unet import UNetPlan

pytestmark = pytest.mark.acceptance


@dataclass(frozen=True)
class Case:
    """A network, and an input as people have them."""

    name: str
    shape: tuple[int, ...]
    plan: UNetPlan | None = None

    def __str__(self) -> str:
        return f"{self.name} at {' x '.join(map(str, self.shape))}"


SCANS = UNetPlan.halving(3, (16, 32, 64, 128), norm="instance", deep_supervision=2)
CASES = [
    Case("lenet5", (1, 32, 32)),
    Case("pocket", (3, 64, 64)),
    Case("timm:resnet18", (3, 224, 224)),
    Case("timm:mobilenetv4_conv_small", (3, 224, 224)),
    Case("timm:convnext_atto", (3, 224, 224)),
    Case("timm:tf_efficientnet_lite0", (3, 224, 224)),
    Case("eegnet", (1, 22, 1000)),
    Case("shallowconvnet", (1, 22, 1000)),
    Case("unet", (3, 180, 240)),  # not a multiple of its coarsest step: maps are cut to fit
    Case("unet", (1, 40, 56, 40), SCANS),
]
CELLS = 40  # of every layer
PATHS = 200  # at least, down to the input
BROKEN = 8  # kernels
DRAWS = 500  # of cells, until one reads something


@pytest.fixture(scope="module", params=CASES, ids=str)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def trace(case):
    return trace_of(real_network(case.name, case.shape, case.plan), inputs_for(case.shape))


def test_every_layers_cells_are_explained_and_paths_lead_to_the_input(case, trace):
    started = time.monotonic()
    chosen, shares, cells = random.Random(1), {}, 0
    for layer in trace.layers:
        operation = trace.graph[layer].operation
        for _ in range(CELLS):
            index = tuple(chosen.randrange(size) for size in trace.graph[layer].shape[1:])
            difference = trace.at(layer, index).difference
            assert difference.within, (layer, index, difference)
            share = abs(difference.difference) / difference.tolerance if difference.tolerance else 0
            shares[operation] = max(shares.get(operation, 0.0), share)
            cells += 1
    paths = -(-PATHS // len(trace.layers))
    lengths = paths_from_every_layer(trace, max(paths, 4))
    while len(lengths) < PATHS:  # some end in padding
        lengths += paths_from_every_layer(trace, 2, seed=len(lengths))
    nearest = max(shares, key=shares.__getitem__)
    told(
        {
            "what": f"{case}: cells outside their tolerance",
            "value": f"0 of {cells:,}",
            "bar": "0",
            "layers": len(trace.layers),
            "nearest to its tolerance": f"{nearest}, {shares[nearest]:.0%}",
            "paths to the input": len(lengths),
            "cells a path, median": int(np.median(lengths)),
            "seconds": round(time.monotonic() - started),
        }
    )


def test_a_broken_kernel_is_noticed(case, trace):
    """A weight that a cell needs is made half as large again after the values were computed."""
    layers = [one for one in trace.layers if trace.graph[one].operation == "convolution"]
    chosen = random.Random(3)
    broken = chosen.sample(layers, min(BROKEN, len(layers)))
    for layer in broken:
        index, place = strongest_product(trace, layer, chosen)
        weight = trace.graph.tensors[trace.graph[layer].parameters["weight"]].detach()
        was = weight[place].clone()
        weight[place] *= 1.5
        noticed = not trace.at(layer, index).difference.within
        weight[place] = was
        assert noticed, (layer, index)
        assert trace.at(layer, index).difference.within
    told(
        {
            "what": f"{case}: kernels broken on purpose that were not noticed",
            "value": f"0 of {len(broken)}",
            "bar": "0",
        }
    )


def strongest_product(trace: Trace, layer: str, chosen: random.Random):
    """A random cell that reads more than zeros, and the weight behind its largest product.

    Behind a relu whole maps may be zero, and then a kernel's weights are not used.
    """
    for _ in range(DRAWS):
        index = tuple(chosen.randrange(size) for size in trace.graph[layer].shape[1:])
        products = np.abs(trace.at(layer, index).explanation.details.products)
        if products.any():
            place = np.unravel_index(int(products.argmax()), products.shape)
            return index, (index[0], *map(int, place))
    raise AssertionError(f"{layer}: {DRAWS} cells read nothing but zeros")


def test_fields_are_where_gradients_are(case):
    """In copies with positive weights, no activations, means for maxima, and affine norms."""
    started = time.monotonic()
    network = build_network(case.name, case.shape, 5, seed=0, plan=case.plan)
    through = letting_all_through(network).double()
    graph, fields = assert_fields_are_measured(
        through, torch.rand(1, *case.shape).double() + 0.1, 1, at_least=3, operations=CHANGING
    )
    assert all(field.exact for field in fields.values())
    told(
        {
            "what": f"{case}: receptive fields that are not the support of the gradient",
            "value": f"0 of {sum(node.operation in CHANGING for node in graph.nodes)} layers",
            "bar": "0",
            "seconds": round(time.monotonic() - started),
        }
    )


def told(row: dict) -> None:
    """Print a figure, and keep it beside those of the other networks."""
    print("\n" + json.dumps(row))
    path = FOLDER / "see_through.json"
    kept = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = [item for item in kept if item["what"] != row["what"]]
    keep(
        "see_through",
        "Is every number of a network explained, down to its input?",
        [*rows, row],
        "Random weights, norms as if trained, random inputs. Cells: 40 of every layer, each value "
        "beside its terms summed in float64. Paths: from a random cell of every layer along random "
        "terms. Fields: a cell of every layer that changes them, in copies that let everything "
        "through. Broken: the weight behind a random cell's largest product, made half as large "
        "again.",
        command="make acceptance",
    )
