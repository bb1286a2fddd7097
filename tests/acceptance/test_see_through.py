"""See-through on whole networks at their real sizes: every number, down to the input.

Run by `make acceptance`; figures are printed and written to benchmarks/results/see_through.json.
"""

import json
import random
import time

import numpy as np
import pytest
from tests.insight.paths import inputs_for, paths_from_every_layer, real_network

from benchmarks.results import FOLDER, keep
from vitreous.insight.trace import trace_of

pytestmark = pytest.mark.acceptance

NETWORKS = {
    "lenet5": (1, 32, 32),
    "pocket": (3, 64, 64),
    "timm:resnet18": (3, 224, 224),
    "timm:mobilenetv4_conv_small": (3, 224, 224),
    "timm:convnext_atto": (3, 224, 224),
    "timm:tf_efficientnet_lite0": (3, 224, 224),
    "eegnet": (1, 22, 1000),
    "shallowconvnet": (1, 22, 1000),
}
CELLS = 40  # of every layer
PATHS = 200  # at least, down to the input


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param


def test_every_layers_cells_are_explained_and_paths_lead_to_the_input(network):
    started = time.monotonic()
    shape = NETWORKS[network]
    trace = trace_of(real_network(network, shape), inputs_for(shape))
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
            "what": f"{network} at {' x '.join(map(str, shape))}: cells outside their tolerance",
            "value": f"0 of {cells:,}",
            "bar": "0",
            "layers": len(trace.layers),
            "nearest to its tolerance": f"{nearest}, {shares[nearest]:.0%}",
            "paths to the input": len(lengths),
            "cells a path, median": int(np.median(lengths)),
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
        "terms.",
        command="make acceptance",
    )
