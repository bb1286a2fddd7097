"""Trained weights to start from: found by name or file, with what must be known of them."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import timm
from timm.models import PretrainedCfg
from torch import Tensor

from vitreous.data.transforms import Scaling
from vitreous.errors import DataError, RequestError
from vitreous.files import read_json
from vitreous.networks import lite
from vitreous.networks.cards import NetworkCard
from vitreous.networks.decoders import decoded_features
from vitreous.networks.detectors import features_of, is_detector
from vitreous.networks.features.timm import known_name
from vitreous.networks.licences import UNKNOWN, licence_beside, require_permission
from vitreous.networks.torchvision_models import PREFIX as TORCHVISION
from vitreous.networks.weight_files import read_tensors

NONE, IMAGENET = "none", "imagenet"
DEFAULT_NETWORK = "timm:tf_efficientnet_lite0"
"""Of `--weights imagenet` without --network: small, plain layers, fast on two cores."""

IMAGENET_1K = "ImageNet-1k"
SEEN = (  # part of a timm tag -> what such weights were trained on; all that fit are said
    ("in1k", IMAGENET_1K),
    ("in12k", "ImageNet-12k"),
    ("in21k", "ImageNet-21k"),
    ("in22k", "ImageNet-21k"),
    ("ig1b", "a billion pictures of Instagram"),
    ("swsl", "a billion pictures of Instagram"),
    ("swag", "pictures of Instagram"),
    ("yfcc", "YFCC-100M"),
    ("_ssl", "YFCC-100M"),
    ("laion2b", "LAION-2B"),
    ("laion400m", "LAION-400M"),
    ("laiona", "LAION's pictures"),
    ("openai", "OpenAI's pictures of the web"),
    ("yfcc15m", "YFCC-15M"),
    ("cc12m", "Conceptual 12M"),
    ("webli", "WebLI"),
    ("jft", "JFT-300M"),
    ("ns_", "JFT-300M"),
    ("lvd1689m", "LVD-1689M, pictures of the web"),
    ("inat21", "iNaturalist 2021"),
    ("fcmae", "ImageNet-1k without its labels"),
)


@dataclass(frozen=True)
class Weights:
    """Trained tensors and their card. `network` is the full name of what they fit."""

    name: str  # for people and the network's card
    network: str
    tensors: Mapping[str, Tensor]  # by the names of timm's whole network, or of our `Network`
    own_names: bool  # of our `Network`
    scaling: Scaling | None
    licence: str | None
    seen: str | None
    size: tuple[int, int] | None = None  # height and width of the pictures it was trained on
    classes: tuple[str, ...] | None = None  # in the order of the classifier, where they are known


def find_weights(text: str, network: str | None, accept_licence: bool = False) -> Weights | None:
    """The weights that `--weights` names: `none`, `imagenet`, a timm name with its tag, or a file.

    A file is .safetensors, .pth, .pt or .bin, or the folder of a run. `network` is what `--network`
    names; None takes what the weights fit. Raises `RequestError` for weights that do not fit the
    network, cannot be fetched, or whose licence must be accepted first; `DataError` for a file
    that cannot be used.
    """
    if text == NONE:
        return None
    if network is not None:  # of a decoder on features, the features
        network = features_name(network)
    path = Path(text).expanduser()
    if path.exists() or path.suffix in {".safetensors", ".pth", ".pt", ".bin"}:
        weights = _from_path(path, network)
        require_permission(weights.licence, str(path), accept_licence)
    else:
        weights = _from_timm(text, network, accept_licence)
    _require_the_same(weights, network)
    return weights


def features_name(network: str) -> str:
    """The name of the network whose features a network has: NAME of unet:NAME, fpn:NAME or
    detect:NAME.

    >>> features_name("unet:timm:resnet18"), features_name("unet")
    ('timm:resnet18', 'unet')
    """
    return features_of(network) if is_detector(network) else decoded_features(network)


def _require_the_same(weights: Weights, network: str | None) -> None:
    if network is None:
        return
    plain = network.removeprefix("timm:").split(".")[0]
    wanted = f"timm:{plain}" if timm.is_model(plain) else network
    if wanted != features_name(weights.network):
        raise RequestError(
            f"--weights {weights.name}: are of {weights.network}, not of {network}; "
            f"leave out --network, or use --network {weights.network}"
        )


def _from_timm(text: str, network: str | None, accept_licence: bool) -> Weights:
    if text == IMAGENET:
        text = network or DEFAULT_NETWORK
        if not timm.is_model(text.removeprefix("timm:").split(".")[0]):
            raise RequestError(
                f"--weights {IMAGENET}: there are none of {text}; use --network timm:NAME, "
                f"or leave out --network for {DEFAULT_NETWORK}"
            )
    elif not timm.is_model(text.removeprefix("timm:").split(".")[0]):
        raise RequestError(
            f"--weights {text}: is neither a file, nor a run, nor timm's name of weights such as "
            "timm:resnet18.a1_in1k; or use imagenet or none"
        )
    plain, tag = known_name(text), text.partition(".")[2]
    full = f"{plain}.{tag}" if tag else plain
    try:
        config = timm.get_pretrained_cfg(full)
    except RuntimeError:
        config = None
    if config is None or not config.has_weights:
        known = ", ".join(timm.list_pretrained(f"{plain}.*")[:6]) or "none"
        raise RequestError(f"--weights: timm has no weights named {full}; it has: {known}")
    name = f"timm:{plain}.{config.tag}" if config.tag else f"timm:{plain}"
    licence = (config.license or UNKNOWN).lower()
    require_permission(licence, name, accept_licence)
    return replace(
        _of_config(config, name, plain),
        tensors=_fetched(full, name, config),
        licence=licence,
    )


def _of_config(config: PretrainedCfg, name: str, plain: str) -> Weights:
    """What timm's entry says of weights; the tensors are still to come."""
    return Weights(
        name=name,
        network=f"timm:{plain}",
        tensors={},
        own_names=False,
        scaling=Scaling(tuple(config.mean), tuple(config.std)),
        licence=None,
        seen=seen_of_tag(config.tag or ""),
        size=tuple(config.input_size[1:]),  # type: ignore[arg-type]
        classes=imagenet_classes(config.num_classes),
    )


def _fetched(full: str, name: str, config: PretrainedCfg) -> dict[str, Tensor]:
    """timm's own download (or its cache), of the whole network."""
    talkative = logging.getLogger("huggingface_hub")  # each of its many tries is a warning
    level = talkative.level
    talkative.setLevel(logging.ERROR)
    try:
        return timm.create_model(full, pretrained=True).state_dict()
    except Exception as error:  # the network, the hub, a broken cache: whatever they raise
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0].split(". ")[0]
        file = f"model.safetensors of {config.hf_hub_id}" if config.hf_hub_id else "its file"
        raise RequestError(
            f"--weights {name}: cannot be fetched ({reason}); where there is no network, get "
            f"{file} elsewhere and give it: --network timm:{full.split('.')[0]} --weights FILE"
        ) from None
    finally:
        talkative.setLevel(level)


def seen_of_tag(tag: str) -> str | None:
    """What weights with this tag of timm were trained on; None where the tag does not say.

    >>> seen_of_tag("in12k_ft_in1k")
    'ImageNet-1k and ImageNet-12k'
    """
    found = [what for part, what in SEEN if part in tag]
    return " and ".join(dict.fromkeys(found)) or None


def imagenet_classes(count: int | None) -> tuple[str, ...] | None:
    """A mark for a classifier of ImageNet's 1,000 classes, which lie in the order of their wnid."""
    return (IMAGENET_1K,) if count == 1000 else None


def classifier_fits(weights: Weights, classes: tuple[str, ...]) -> bool:
    """Whether the weights' classifier answers for these very classes, in this order."""
    if weights.classes == (IMAGENET_1K,):
        wnids = len(classes) == 1000 and all(re.fullmatch(r"n\d{8}", name) for name in classes)
        return wnids and list(classes) == sorted(classes)
    return weights.classes is not None and weights.classes == classes


def _from_path(path: Path, network: str | None) -> Weights:
    if path.is_dir() and not (path / "run.json").is_file():
        inside = [path / name for name in ("model.safetensors", "pytorch_model.bin")]
        file = next((item for item in inside if item.is_file()), None)
        if (path / "study.json").is_file():
            raise DataError(f"{path}: is a study; give one of its runs, such as fold-0-seed-0")
        if file is None:
            raise DataError(f"{path}: is no run and holds no model.safetensors; give the file")
        path = file
    folder = path if path.is_dir() else path.parent
    if (folder / "run.json").is_file() and (path.is_dir() or path.name == "network.safetensors"):
        return _from_run(folder)
    tensors = read_tensors(path)
    if network is not None and network.startswith(TORCHVISION):
        return _of_torchvision(path, network, tensors)
    licence = licence_beside(folder) or UNKNOWN
    if lite.is_lite(tensors):
        return _from_lite(path, tensors, licence)
    plain, config = _architecture(path, network)
    found = _of_config(config, path.name, plain)
    classes = next((len(v) for n, v in tensors.items() if n == f"{config.classifier}.bias"), None)
    return replace(
        found,
        tensors=tensors,
        licence=(config.license or licence) if (folder / "config.json").is_file() else licence,
        classes=imagenet_classes(classes),
        seen=found.seen or ("pictures that its file does not name"),
    )


def _of_torchvision(path: Path, network: str, tensors: dict[str, Tensor]) -> Weights:
    """A file of one of torchvision's detectors, or of its backbone."""
    return Weights(
        name=path.name,
        network=network,
        tensors=tensors,
        own_names=False,
        scaling=Scaling((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        licence=licence_beside(path.parent) or UNKNOWN,
        seen="COCO 2017" if "coco" in path.name else "pictures that its file does not name",
    )


def _from_lite(path: Path, tensors: dict[str, Tensor], licence: str) -> Weights:
    try:
        plain, renamed = lite.as_timm_names(tensors)
    except KeyError as error:
        raise DataError(f"{path}: looks like an EfficientNet-Lite, but {error.args[0]}") from None
    fc = renamed.get("classifier.bias")
    return Weights(
        name=path.name,
        network=f"timm:{plain}",
        tensors=renamed,
        own_names=False,
        scaling=lite.SCALING,
        licence=licence,
        seen=IMAGENET_1K,
        size=(lite.SIDES[plain], lite.SIDES[plain]),
        classes=imagenet_classes(None if fc is None else len(fc)),
    )


def _from_run(folder: Path) -> Weights:
    record: dict[str, Any] = read_json(folder / "run.json")
    try:
        card = NetworkCard.from_json(record["network"])
        classes, data = tuple(record["classes"]), record["data"]["root"]
    except (KeyError, TypeError):
        raise DataError(f"{folder / 'run.json'}: incomplete; is it a whole run?") from None
    scaling = None  # of recordings: amplifiers differ, so channels are scaled by the new trials
    if record.get("signal") != "eeg":
        scaling = Scaling(tuple(card.scaling["mean"]), tuple(card.scaling["std"]))
    seen = f"the training part of {data}"
    return Weights(
        name=str(folder),
        network=card.name,
        tensors=read_tensors(folder / "network.safetensors"),
        own_names=True,
        scaling=scaling,
        licence=card.weights_licence,
        seen=f"{seen} and {card.weights_seen}" if card.weights_seen else seen,
        size=(card.input["height"], card.input["width"]),
        classes=classes,
    )


def _architecture(path: Path, network: str | None) -> tuple[str, PretrainedCfg]:
    """timm's name for what is in a file, and its entry: from --network, a card, or the file's name.

    Raises `RequestError` where none of them says.
    """
    beside = path.parent / "config.json"
    card = read_json(beside) if beside.is_file() else {}
    stem = re.split(r"[.-]", path.name)[0]
    name = network or (card.get("architecture") if isinstance(card, dict) else None)
    if name is None and timm.is_model(stem):
        name = stem
    if name is None or not timm.is_model(name.removeprefix("timm:").split(".")[0]):
        raise RequestError(
            f"{path}: which network its weights are of is not written beside it; "
            "say it with --network timm:NAME"
        )
    plain = known_name(name)
    config = timm.get_pretrained_cfg(plain) or PretrainedCfg()
    told = card.get("pretrained_cfg", {}) if isinstance(card, dict) else {}
    known = {
        key: told[key] for key in ("mean", "std", "input_size", "tag", "license") if key in told
    }
    tag = known.pop("tag", path.name.removesuffix(path.suffix).partition(".")[2])
    return plain, replace(config, tag=tag, license=known.pop("license", None), **known)
