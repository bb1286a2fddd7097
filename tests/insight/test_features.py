"""What layers learned: best patches by brute force, tuning of known kernels, probes, cuts."""

import numpy as np
import pytest
import torch
from torch import nn

from vitreous.errors import DataError, RequestError
from vitreous.insight.attribution import map_layers
from vitreous.insight.features import (
    cut_layers,
    index_patches,
    load_patches,
    probe_layers,
    save_patches,
    tune_layers,
)
from vitreous.insight.features.probes import pooled, share_interval
from vitreous.networks import build_network

from .planted import pictures, trained

COUNT = 40
INPUTS = torch.randn(COUNT, 1, 32, 32, generator=torch.manual_seed(0))


def batches(inputs=INPUTS, rows=None, size=16):
    rows = list(range(len(inputs))) if rows is None else list(rows)
    return [(rows[i : i + size], inputs[rows[i : i + size]]) for i in range(0, len(rows), size)]


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build_network("lenet5", (1, 32, 32), 4, seed=0).eval()


@pytest.fixture(scope="module")
def index(network):
    layers = map_layers(network, INPUTS[:1])
    names = [f"sample-{row}" for row in range(COUNT)]
    counted = []
    found = index_patches(
        network, batches(), layers, names, total=COUNT, most=5,
        on_progress=lambda done, total: counted.append((done, total)),
    )  # fmt: skip
    assert counted[-1] == (COUNT, COUNT)
    return found


def test_best_patches_by_brute_force(network, index):
    kept = {}
    module = network.features.conv2
    handle = module.register_forward_hook(lambda m, i, out: kept.update(maps=out))
    with torch.no_grad():
        network(INPUTS)
    handle.remove()
    flat = kept["maps"].flatten(2).numpy()  # samples, channels, cells
    for channel in (0, 9):
        for highest, pick, sign in ((True, np.argmax, -1), (False, np.argmin, 1)):
            best = sorted(
                (sign * each[pick(each)], row, int(pick(each)))
                for row, each in enumerate(flat[:, channel])
            )[:5]
            found = index["features.conv2"].patches(channel, highest)
            assert [row for row, _, _ in found] == [row for _, row, _ in best]
            np.testing.assert_allclose(
                [value for _, value, _ in found], [sign * value for value, _, _ in best], rtol=1e-5
            )
            for (_, _, box), (_, _, cell) in zip(found, best, strict=True):
                top, left = divmod(cell, 10)
                assert box == ((2 * top, 2 * top + 13), (2 * left, 2 * left + 13))  # 14 x 14


def test_a_patch_alone_excites_its_cell_as_much(network, index):
    """Only what the field holds counts: all else can be anything."""
    for channel in range(0, 16, 5):
        row, value, box = index["features.conv2"].patches(channel)[0]
        (top, bottom), (left, right) = box
        other = torch.randn(1, 1, 32, 32, generator=torch.manual_seed(9))
        place = (slice(None), slice(None), slice(top, bottom + 1), slice(left, right + 1))
        other[place] = INPUTS[row : row + 1][place]
        with torch.no_grad():
            maps = network.features.conv2(
                network.features.pool1(network.features.relu1(network.features.conv1(other)))
            )
        assert (maps[0, channel] - value).abs().min() < 1e-4


def test_the_index_is_kept_and_read_again(index, tmp_path):
    save_patches(tmp_path, index)
    again = load_patches(tmp_path)
    assert again.samples == COUNT
    assert again.sample_ids == index.sample_ids
    assert set(again.sample_ids.values()) <= {f"sample-{row}" for row in range(COUNT)}
    for name, layer in index.layers.items():
        for channel in range(0, len(layer.highest[0]), 3):
            assert again[name].patches(channel) == layer.patches(channel)
            assert again[name].patches(channel, False) == layer.patches(channel, False)
    with pytest.raises(RequestError, match=r"did you mean 'features\.conv2'"):
        again["features.conv3"]
    with pytest.raises(RequestError, match="channels 0 to 15"):
        again["features.conv2"].patches(16)
    (tmp_path / "best_patches.safetensors").write_bytes(b"nothing")
    with pytest.raises(DataError, match="not a readable index"):
        load_patches(tmp_path)


def grating_kernel(degrees: float, cycles: float, side: int = 9) -> torch.Tensor:
    """A kernel of stripes at an angle, level being 0."""
    down, right = np.mgrid[:side, :side] - side // 2
    angle = np.radians(degrees)
    wave = np.cos(2 * np.pi * cycles * (down * np.cos(angle) + right * np.sin(angle)))
    kernel = wave * np.exp(-(down**2 + right**2) / 8)
    return torch.from_numpy(kernel - kernel.mean()).float()


def test_tuning_finds_the_orientation_and_frequency_of_known_kernels():
    angles = (0.0, 22.5, 45.0, 90.0, 135.0)
    network = nn.Sequential(
        nn.Conv2d(3, len(angles) + 2, 9, padding=4, padding_mode="circular", bias=False), nn.ReLU()
    )
    with torch.no_grad():
        for number, degrees in enumerate(angles):
            network[0].weight[number] = grating_kernel(degrees, 0.25)
        down, right = np.mgrid[:9, :9] - 4
        blob = np.exp(-(down**2 + right**2) / 2)
        network[0].weight[-2] = torch.from_numpy(blob - blob.mean()).float()
        network[0].weight[-1] = 0
    layers = map_layers(network, torch.zeros(1, 3, 32, 32))
    found = tune_layers(network, layers, (3, 32, 32))["0"]
    apart = np.abs(found.orientation_degrees[: len(angles)] - angles)
    assert np.minimum(apart, 180 - apart).max() < 6
    assert (found.frequency[: len(angles)] == np.float32(0.25)).all()
    assert found.selectivity[: len(angles)].min() > 0.4
    assert found.selectivity[-2] < 0.1
    assert not found.answers[-1]
    assert found.tuned_share == pytest.approx(len(angles) / (len(angles) + 2))
    with pytest.raises(RequestError, match="pictures"):
        tune_layers(network, layers, (3, 32))


def test_probes_read_what_is_there_and_nothing_from_noise():
    network = trained()
    inputs, labels, _ = pictures(260, seed=4)
    layers = {layer.name: layer for layer in map_layers(network, inputs)}
    chosen = [layers["features.module.3"], layers["features.module.9"]]
    order = list(range(len(inputs)))
    train, held_out = batches(inputs, order[:180]), batches(inputs, order[180:])
    found = probe_layers(network, train, held_out, labels, chosen, total=260)
    last = found["features.module.9"]
    assert last.accuracy > 0.9
    assert last.low < last.accuracy <= last.high
    assert last.samples == 80
    shuffled = np.random.default_rng(0).permutation(labels)
    noise = probe_layers(network, train, held_out, shuffled, chosen, total=260)
    assert all(one.low < 0.5 < one.high for one in noise.values())


def test_pooling_keeps_a_probe_small():
    assert pooled(torch.ones(2, 16, 10, 10)).shape == (2, 64)
    assert pooled(torch.ones(2, 1000, 10, 10)).shape == (2, 1000)
    assert pooled(torch.ones(2, 8, 1, 50)).shape == (2, 16)
    assert pooled(torch.ones(2, 8, 50)).shape == (2, 16)


def test_groups_widen_the_interval():
    right = np.repeat([True, True, True, False, True], 20)
    alone = share_interval(right, None)
    grouped = share_interval(right, [f"patient-{n // 20}" for n in range(100)])
    assert grouped[0] < alone[0] < 0.8 < alone[1] < grouped[1]


def test_cuts_keep_what_matters():
    """Of a layer's channels two vary and are read; all others are always the same."""
    network = nn.Sequential(nn.Conv2d(1, 32, 1), nn.Flatten(2), nn.Flatten(), nn.Linear(32 * 16, 2))
    with torch.no_grad():
        network[0].weight.zero_()
        network[0].weight[[5, 20]] = torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    inputs = torch.randn(64, 1, 4, 4, generator=torch.manual_seed(0))
    (layer,) = [one for one in map_layers(network, inputs[:1]) if one.name == "0"]
    found = cut_layers(network, lambda: batches(inputs), [layer], total=64)["0"]
    assert found.needed == 2
    same = dict(zip(found.shares, found.same_answers, strict=True))
    assert same[1.0] == same[1 / 16] == 1.0
    assert same[1 / 32] < 1.0
    plain = found.to_json()
    assert plain["needed"] == 2
