"""Trained weights: found, judged, renamed, and put into networks."""

import pickle
import re
from dataclasses import replace

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from vitreous.data.transforms import Scaling
from vitreous.errors import DataError, RequestError
from vitreous.networks import build_network, find_weights, lite
from vitreous.networks.licences import licence_beside, licence_of_text, require_permission
from vitreous.networks.transfer import (
    classifier_names,
    fit_channels,
    fit_scaling_channels,
    start_from,
)
from vitreous.networks.weight_files import read_tensors
from vitreous.networks.weights import Weights, classifier_fits, seen_of_tag

SMALL = "resnet10t"
SHAPE = (3, 64, 64)


def random_whole(name: str, seed: int = 1) -> nn.Module:
    """A whole network of timm with random weights and statistics, as if it were trained."""
    torch.manual_seed(seed)
    whole = timm.create_model(name).eval()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2.0)
    return whole


def weights_of(whole: nn.Module, name: str) -> Weights:
    return Weights(
        name=name, network=f"timm:{name}", tensors=whole.state_dict(), own_names=False,
        scaling=Scaling((0.5,) * 3, (0.25,) * 3), licence="mit", seen="nothing",
    )  # fmt: skip


def inputs(*shape, seed=0):
    return torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "name", [SMALL, "tf_efficientnet_lite0", "mobilenetv4_conv_small_035", "convnext_atto"]
)
def test_with_its_classifier_a_network_answers_as_in_timm(name):
    whole = random_whole(name)
    network = build_network(
        f"timm:{name}", SHAPE, 1000, weights=weights_of(whole, name), keep_classifier=True
    ).eval()
    with torch.no_grad():
        expected = whole(inputs(*SHAPE))
        torch.testing.assert_close(network(inputs(*SHAPE)), expected, rtol=1e-5, atol=1e-5)
    assert expected.std() > 0


def test_a_new_classifier_stays_random_and_all_else_is_taken():
    whole = random_whole(SMALL)
    network = build_network(f"timm:{SMALL}", SHAPE, 5, weights=weights_of(whole, SMALL), seed=3)
    fresh = build_network(f"timm:{SMALL}", SHAPE, 5, seed=3)
    assert torch.equal(network.head.linear.weight, fresh.head.linear.weight)
    taken = {key: value for key, value in network.state_dict().items() if "head" not in key}
    whole_state = whole.state_dict()
    for key, value in taken.items():
        assert torch.equal(value, whole_state[key.removeprefix("features.backbone.")]), key
    assert network.card.weights == SMALL
    assert network.card.weights_licence == "mit"
    assert network.card.scaling == {"mean": [0.5] * 3, "std": [0.25] * 3}


def test_a_classifier_that_needs_layers_we_lack_is_refused_not_wrong():
    weights = weights_of(random_whole("nfnet_l0"), "nfnet_l0")
    with pytest.raises(RequestError, match="layers that are not taken over"):
        build_network("timm:nfnet_l0", SHAPE, 1000, weights=weights, keep_classifier=True)


@pytest.mark.parametrize("channels", [1, 2, 4, 5])
def test_other_channels_than_three(channels):
    whole = random_whole(SMALL)
    weights = weights_of(whole, SMALL)
    network = build_network(f"timm:{SMALL}", (channels, 64, 64), 7, weights=weights, seed=0).eval()
    three = build_network(f"timm:{SMALL}", SHAPE, 7, weights=weights, seed=0).eval()
    three.head.load_state_dict(network.head.state_dict())
    grey = inputs(1, 64, 64)
    with torch.no_grad():
        ours = network(grey.expand(2, channels, 64, 64))
        expected = three(grey.expand(2, 3, 64, 64))
    if channels == 1:
        torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    first = next(p for p in network.features.parameters() if p.ndim == 4)
    assert first.shape[1] == channels
    assert first.sum() != 0
    assert len(network.card.scaling["mean"]) == channels


def test_channels_taken_in_turn_keep_the_size_of_sums():
    weight = torch.randn(4, 3, 3, 3)
    six = fit_channels(weight, torch.empty(4, 6, 3, 3))
    grey = torch.randn(1, 1, 8, 8)
    torch.testing.assert_close(
        nn.functional.conv2d(grey.expand(1, 6, 8, 8), six),
        nn.functional.conv2d(grey.expand(1, 3, 8, 8), weight),
    )
    assert fit_channels(torch.randn(4, 8, 3, 3), torch.empty(4, 6, 3, 3)) is None
    assert fit_channels(torch.randn(4, 3, 3, 3), torch.empty(4, 1, 5, 5)) is None
    scaling = Scaling((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    assert fit_scaling_channels(scaling, 4).mean == (0.1, 0.2, 0.3, 0.1)


def lite_state(network="tf_efficientnet_lite0", seed=2):
    """Tensors by the names of the port, and the same in timm, written by hand, block by block."""
    whole = random_whole(network, seed)
    theirs = whole.state_dict()
    pairs = [("conv_stem", "_conv_stem"), ("bn1", "_bn0"), ("conv_head", "_conv_head"),
             ("bn2", "_bn1"), ("classifier", "_fc")]  # fmt: skip
    number = 0
    for stage, repeats in enumerate((1, 2, 2, 3, 3, 4, 1)):
        for block in range(repeats):
            ours, port = f"blocks.{stage}.{block}", f"_blocks.{number}"
            order = ["_depthwise_conv", "_bn1", "_project_conv", "_bn2"]
            names = ["conv_dw", "bn1", "conv_pw", "bn2"]
            if stage:  # the first stage does not widen
                order = ["_expand_conv", "_bn0", *order]
                names = ["conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3"]
            pairs += [(f"{ours}.{a}", f"{port}.{b}") for a, b in zip(names, order, strict=True)]
            number += 1
    port = {}
    for ours, name in pairs:
        for key, value in theirs.items():
            if key.startswith(ours + "."):
                port[name + key.removeprefix(ours)] = value
    assert len(port) == len(theirs) == 296
    return port, whole


def test_lite_names_are_those_of_timm(tmp_path):
    port, whole = lite_state()
    torch.save(port, tmp_path / "lite.pth")
    (tmp_path / "LICENSE").write_text("Apache Software License 2.0\n")
    weights = find_weights(str(tmp_path / "lite.pth"), None)
    assert weights.network == "timm:tf_efficientnet_lite0"
    assert weights.licence == "apache-2.0"
    assert weights.seen == "ImageNet-1k"
    assert weights.size == (224, 224)
    pixels = torch.tensor([127.0, 255.0])
    scaled = (pixels / 255 - weights.scaling.mean[0]) / weights.scaling.std[0]
    torch.testing.assert_close(scaled, (pixels - 127) / 128)
    network = build_network(weights.network, SHAPE, 1000, weights=weights, keep_classifier=True)
    with torch.no_grad():
        expected = whole(inputs(*SHAPE))
        torch.testing.assert_close(network.eval()(inputs(*SHAPE)), expected)


def test_half_a_lite_file_is_named():
    port, _ = lite_state()
    half = {name: value for name, value in port.items() if not name.startswith("_blocks.9.")}
    assert lite.is_lite(half)
    with pytest.raises(KeyError, match="no EfficientNet-Lite"):
        lite.as_timm_names(half)


@pytest.mark.parametrize("wrap", [
    lambda state: state,
    lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
    lambda state: {"model": {f"_orig_mod.module.{k}": v for k, v in state.items()}},
    lambda state: {"state_dict": {k: v * 0 for k, v in state.items()}, "state_dict_ema": state},
])  # fmt: skip
def test_files_of_training_scripts(tmp_path, wrap):
    whole = random_whole(SMALL)
    torch.save(wrap(whole.state_dict()), tmp_path / f"{SMALL}.c3_in1k.pth")
    weights = find_weights(str(tmp_path / f"{SMALL}.c3_in1k.pth"), None)
    assert weights.network == f"timm:{SMALL}"
    assert weights.seen == "ImageNet-1k"
    assert weights.licence == "unknown"
    network = build_network(weights.network, SHAPE, 1000, weights=weights, keep_classifier=True)
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(inputs(*SHAPE)), whole(inputs(*SHAPE)))


def test_a_folder_of_the_hub_brings_its_card(tmp_path):
    save_file(random_whole(SMALL).state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(
        f'{{"architecture": "{SMALL}", "pretrained_cfg": {{"tag": "x_in12k", "mean": [0.1, 0.2, '
        '0.3], "std": [1, 1, 1], "input_size": [3, 96, 96]}}'
    )
    (tmp_path / "README.md").write_text("---\nlicense: cc-by-nc-4.0\ntags:\n- image\n---\n# Card")
    with pytest.raises(RequestError, match=r"cc-by-nc-4.0.*--accept-weights-licence"):
        find_weights(str(tmp_path), None)
    weights = find_weights(str(tmp_path), None, accept_licence=True)
    assert weights.scaling.mean == (0.1, 0.2, 0.3)
    assert weights.size == (96, 96)
    assert weights.seen == "ImageNet-12k"


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


@pytest.mark.parametrize(("name", "content", "message"), [
    ("a.safetensors", b"", "not a readable safetensors file"),
    ("a.safetensors", b"\x08\x00\x00\x00\x00\x00\x00\x00{}", "safetensors"),
    ("a.pth", b"no weights at all", "not a .*PyTorch file"),
    ("a.pth", b"", "not a .*PyTorch file"),
    ("a.pth", pickle.dumps(Evil()), "needs code to be loaded|not a PyTorch file"),
])  # fmt: skip
def test_bad_files_are_named_in_one_line(tmp_path, name, content, message, capsys):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_tensors(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)
    assert "code ran" not in capsys.readouterr().out


def test_code_cut_files_and_odd_numbers_are_refused(tmp_path):
    path = tmp_path / "whole.pth"
    torch.save({"model": nn.Linear(2, 2), "evil": Evil()}, path)
    with pytest.raises(DataError, match=r"needs code to be loaded.*state_dict"):
        read_tensors(path)
    torch.save({"a": torch.randn(1000)}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(DataError, match="not a readable PyTorch file"):
        read_tensors(path)
    torch.save({"epoch": 3}, path)
    with pytest.raises(DataError, match="holds no weights"):
        read_tensors(path)
    torch.save({"a": torch.tensor([1.0, float("nan")])}, path)
    with pytest.raises(DataError, match="'a' holds numbers that are not finite"):
        read_tensors(path)
    with pytest.raises(DataError, match="not found"):
        find_weights(str(tmp_path / "absent.pth"), None)


def test_weights_that_do_not_fit_are_told_with_counts_and_examples():
    state = dict(random_whole(SMALL).state_dict())
    removed = [name for name in list(state) if name.startswith("layer1.0.conv")]
    for name in removed:
        del state[name]
    state["layer2.0.conv1.weight"] = torch.zeros(1, 2, 3, 3)
    weights = replace(weights_of(random_whole(SMALL), SMALL), tensors=state)
    with pytest.raises(RequestError) as caught:
        build_network(f"timm:{SMALL}", SHAPE, 3, weights=weights)
    said = str(caught.value)
    assert re.search(rf"{len(removed)} missing \(layer1\.0\.conv1\.weight, ", said)
    assert "1 of another shape (layer2.0.conv1.weight (1, 2, 3, 3) for" in said
    assert "\n" not in said


def test_the_network_must_be_that_of_the_weights(tmp_path):
    port, _ = lite_state()
    torch.save(port, tmp_path / "lite.pth")
    with pytest.raises(RequestError, match=r"are of timm:tf_efficientnet_lite0, not of resnet;"):
        find_weights(str(tmp_path / "lite.pth"), "resnet")
    save_file({"a": torch.zeros(1)}, tmp_path / "mine.safetensors")
    with pytest.raises(RequestError, match="say it with --network"):
        find_weights(str(tmp_path / "mine.safetensors"), None)
    assert find_weights("none", None) is None


def test_timm_weights_come_by_their_name(monkeypatch):
    whole = random_whole(SMALL)
    asked = []

    def fetch(model_id, *args, **keys):
        asked.append(model_id)
        return dict(whole.state_dict())

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fetch)
    for text, network in (
        ("imagenet", f"timm:{SMALL}"), (f"timm:{SMALL}.c3_in1k", None), (SMALL, SMALL)
    ):  # fmt: skip
        weights = find_weights(text, network)
        assert weights.name == f"timm:{SMALL}.c3_in1k"
        assert weights.licence == "apache-2.0"
        assert weights.scaling.mean == (0.485, 0.456, 0.406)
        key = "layer3.0.conv1.weight"
        assert torch.equal(weights.tensors[key], whole.state_dict()[key])
    assert asked == [f"timm/{SMALL}.c3_in1k"] * 3


def test_without_a_network_connection_the_remedy_is_said(monkeypatch):
    def fail(*args, **keys):
        raise OSError("no route to host\nmore for programmers")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", fail)
    with pytest.raises(
        RequestError, match=r"cannot be fetched \(no route to host\).*--weights FILE"
    ):
        find_weights("imagenet", SMALL)


def test_names_that_are_not_there():
    with pytest.raises(RequestError, match="there are none of lenet5"):
        find_weights("imagenet", "lenet5")
    with pytest.raises(RequestError, match="is neither a file, nor a run"):
        find_weights("imagnet", None)
    with pytest.raises(RequestError, match=r"no weights named resnet10t\.nope; it has: resnet10t"):
        find_weights("timm:resnet10t.nope", None)


def test_licences_that_do_not_allow_every_use_are_refused_before_anything_is_fetched(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: pytest.fail("fetched"))
    with pytest.raises(RequestError, match=r"licence \(cc-by-nc-4\.0\).*--accept-weights-licence"):
        find_weights("timm:convnextv2_atto.fcmae", None)
    require_permission("cc-by-nc-4.0", "x", accepted=True)
    require_permission("unknown", "x", accepted=False)
    require_permission("bsd-3-clause", "x", accepted=False)


def test_licence_texts(tmp_path):
    assert licence_of_text("Apache License\n   Version 2.0, January 2004") == "apache-2.0"
    assert licence_of_text("Attribution-NonCommercial 4.0 International") == "non-commercial"
    assert licence_of_text("Licensed for research purposes only.") == "research-only"
    assert licence_of_text("All rights are ours.") == "unknown"
    assert licence_beside(tmp_path) is None


def test_what_weights_have_seen_and_when_a_classifier_fits():
    assert seen_of_tag("a1_in1k") == "ImageNet-1k"
    assert seen_of_tag("clip_laion2b_augreg_ft_in12k_in1k") == (
        "ImageNet-1k and ImageNet-12k and LAION-2B"
    )
    assert seen_of_tag("e3") is None
    weights = replace(weights_of(random_whole(SMALL), SMALL), classes=("ImageNet-1k",))
    wnids = tuple(f"n{number:08d}" for number in range(1000))
    assert classifier_fits(weights, wnids)
    assert not classifier_fits(weights, wnids[::-1])
    assert not classifier_fits(weights, wnids[:999])
    assert not classifier_fits(weights, tuple(map(str, range(1000))))
    own = replace(weights, classes=("ant", "bee"))
    assert classifier_fits(own, ("ant", "bee"))
    assert not classifier_fits(own, ("bee", "ant"))


def test_the_classifier_is_the_last_linear_layer():
    network = build_network("lenet5", (1, 28, 28), 4)
    assert classifier_names(network) == {"head.linear3.weight", "head.linear3.bias"}


def test_each_window_of_atcnet_has_a_classifier_and_all_of_them_start_anew():
    trained = build_network("atcnet", (1, 3, 400), 4, seed=1)
    weights = Weights("a run", "atcnet", trained.state_dict(), True, None, None, "others")
    network = build_network("atcnet", (1, 3, 400), 2, seed=2)
    names = {f"head.windows.{k}.linear.{part}" for k in range(5) for part in ("weight", "bias")}
    assert classifier_names(network) == names
    first = {name: value.clone() for name, value in network.state_dict().items()}
    start_from(network, weights)
    for name, value in network.state_dict().items():
        source = first if name in names else trained.state_dict()
        assert torch.equal(value, source[name]), name
