"""Trained tensors put into a network: names matched, the first convolution made to fit."""

from collections.abc import Iterable
from dataclasses import replace

import timm
import torch
from torch import Tensor, nn

from vitreous.data.transforms import Scaling
from vitreous.errors import RequestError
from vitreous.networks.cards import scaling_to_json
from vitreous.networks.features.timm import TimmFeatures
from vitreous.networks.heads.timm import neck_of
from vitreous.networks.modes import evaluating
from vitreous.networks.network import Network
from vitreous.networks.torchvision_models import TorchvisionDetector, load_detector
from vitreous.networks.weights import Weights

SHOWN = 3  # names in a message


def start_from(network: Network, weights: Weights, keep_classifier: bool = False) -> list[str]:
    """Put trained tensors in place and on the card; sentences on what was not used.

    The classifier keeps its random start unless `keep_classifier`, and where the weights are of
    another network with the same features, all but those. Raises `RequestError`,
    with counts and examples, where tensors are missing or of other shapes, and where the kept
    classifier would answer otherwise than in timm, which has layers there that are not taken over.
    """
    if isinstance(network.head, TorchvisionDetector) and weights.network == network.card.name:
        notes = load_detector(network.head, weights.tensors)
    else:
        notes = _transfer(network, weights, keep_classifier)
    if keep_classifier and not weights.own_names:
        _require_the_same_answers(network, weights)
    channels = network.card.input["channels"]
    scaling = network.card.scaling
    if weights.scaling is not None:
        scaling = scaling_to_json(fit_scaling_channels(weights.scaling, channels), channels)
    network.card = replace(
        network.card,
        scaling=scaling,
        weights=weights.name,
        weights_licence=weights.licence,
        weights_seen=weights.seen,
    )
    return notes


def _transfer(network: Network, weights: Weights, keep_classifier: bool) -> list[str]:
    state = network.state_dict()
    names = source_names(network, weights.own_names)
    dropped = set() if keep_classifier else new_names(network, weights)
    missing, misshapen, used, placed = [], [], set(), {}
    for key, value in state.items():
        if key in dropped:
            continue
        source = names.get(key)
        found = None if source is None else weights.tensors.get(source)
        if found is None:
            if not key.endswith("num_batches_tracked"):  # old files lack it; it counts batches
                missing.append(source or key)
            continue
        used.add(source)
        fitted = fit_channels(found, value)
        if fitted is None:
            shapes = f"{tuple(found.shape)} for {tuple(value.shape)}"
            misshapen.append(f"{source} {shapes}")
            continue
        placed[key] = fitted.to(value.dtype)
    if missing or misshapen:
        problems = _counted(missing, "missing") + _counted(misshapen, "of another shape")
        raise RequestError(
            f"{weights.name}: does not fit {weights.network}: {'; '.join(problems)}; name the "
            "network that it was trained as with --network, or get the file again"
        )
    network.load_state_dict({**state, **placed})
    left = [name for name in weights.tensors if name not in used]
    classifier = {names[key] for key in dropped if key in names}
    return [f"{weights.name}: {said} not used" for said in
            _counted([name for name in left if name not in classifier], "tensors")]  # fmt: skip


def _require_the_same_answers(network: Network, weights: Weights) -> None:
    whole = timm.create_model(weights.network.removeprefix("timm:")).eval()
    whole.load_state_dict(dict(weights.tensors), strict=False)
    channels, *size = network.card.input_shape
    inputs = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    with evaluating(network), torch.no_grad():
        ours = network(inputs.expand(2, channels, *size))
        theirs = whole(inputs.expand(2, 3, *size))
    if not torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max())):
        raise RequestError(
            f"{weights.name}: the classifier of {weights.network} answers from layers that are not "
            "taken over; train a new one, or use another network"
        )


def fit_channels(weight: Tensor, like: Tensor) -> Tensor | None:
    """A tensor in the shape of another that may see other input channels; None where it cannot.

    Only a convolution of three input channels is changed. One channel: the sum over the three, so
    that a grey picture gives what it gives as a picture of three equal channels. Others: the three
    in turn, times 3 / channels, so that sums keep their size.
    """
    if weight.shape == like.shape:
        return weight
    same = weight.ndim == like.ndim == 4 and weight.shape[0] == like.shape[0]
    if not same or weight.shape[2:] != like.shape[2:] or weight.shape[1] != 3:
        return None
    channels = like.shape[1]
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [channel % 3 for channel in range(channels)]] * (3 / channels)


def fit_scaling_channels(scaling: Scaling, channels: int) -> Scaling:
    """The scaling of three-channel weights for pictures of other channels, in the same way.

    Grey pictures get the mean of the three, which tints them by less than a twentieth of the range
    where the three differ (ImageNet's means are 0.485, 0.456 and 0.406).

    >>> fit_scaling_channels(Scaling((0.25, 0.5, 0.75), (0.5, 0.5, 0.5)), 1)
    Scaling(mean=(0.5,), std=(0.5,))
    """
    if channels == len(scaling.mean):
        return scaling
    mean, std = scaling.mean, scaling.std
    if channels == 1:
        return Scaling((sum(mean) / len(mean),), (sum(std) / len(std),))
    turns = [channel % len(mean) for channel in range(channels)]
    return Scaling(tuple(mean[i] for i in turns), tuple(std[i] for i in turns))


def new_names(network: Network, weights: Weights) -> set[str]:
    """Names of the tensors that the weights do not bring: those of the layer that answers for the
    classes, and of another network's weights all outside of the features.
    """
    if weights.network == network.card.name:
        return classifier_names(network)
    inside = f"{features_path(network)}."
    return {name for name in network.state_dict() if not name.startswith(inside)}


def features_path(network: Network) -> str:
    """Where a network's features are: `features`, or deep in the head of a whole detector."""
    paths = (path for path, one in network.named_modules() if isinstance(one, TimmFeatures))
    return next(paths, "features")


def classifier_names(network: nn.Module) -> set[str]:
    """Names of the parameters that answer for the classes.

    Those of the layers that a head names as its `classifiers`, else of the last linear layer.
    """
    for name, module in network.named_modules():
        own: Iterable[str] = getattr(module, "classifiers", ())
        layers = [(".".join(filter(None, (name, path))), module.get_submodule(path))
                  for path in own]  # fmt: skip
        if layers:
            return {
                f"{path}.{key}" for path, layer in layers for key, _ in layer.named_parameters()
            }
    layers = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return {f"{layers[-1]}.weight", f"{layers[-1]}.bias"} if layers else set()


def source_names(network: Network, own_names: bool) -> dict[str, str]:
    """For each name of our network that of the same tensor in the weights."""
    state = network.state_dict()
    path = features_path(network)
    features = network.get_submodule(path)
    if own_names or not isinstance(features, TimmFeatures):
        return {key: key for key in state}
    with torch.device("meta"):
        whole = timm.create_model(features.name)
    known = set(whole.state_dict())
    found = {}
    for key in state:
        candidates = _candidates(key, whole, path)
        name = next((name for name in candidates if name in known), None)
        if name is not None:
            found[key] = name
    return found


def _candidates(key: str, whole: nn.Module, features: str) -> Iterable[str]:
    """What timm may call a tensor of ours in its whole network; `features` is where those are."""
    for part in (f"{features}.backbone.", f"{features}.backbone.model."):
        if key.startswith(part):
            inside = key.removeprefix(part)
            first, _, rest = inside.partition(".")
            yield inside
            outer, _, inner = first.rpartition("_")  # timm's lists of maps flatten "stages.0"
            if outer:
                yield f"{outer}.{inner}.{rest}"
    classifier = whole.pretrained_cfg.get("classifier")  # type: ignore
    if isinstance(classifier, str):
        yield key.replace("head.linear", classifier)
    neck = neck_of(whole)
    for place, paths in (("before", neck.before), ("after", neck.after)) if neck else ():
        for path in paths:
            start = f"head.{place}.{path.rpartition('.')[2]}."
            if key.startswith(start):
                yield f"{path}.{key.removeprefix(start)}"


def _counted(names: list[str], what: str) -> list[str]:
    if not names:
        return []
    more = ", ..." if len(names) > SHOWN else ""
    return [f"{len(names)} {what} ({', '.join(names[:SHOWN])}{more})"]
