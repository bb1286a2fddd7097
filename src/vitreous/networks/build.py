"""The networks by name, and how to build one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import timm
import torch
from torch import nn

from vitreous.errors import RequestError, unknown_name
from vitreous.networks.braindecode_models import WholeTrial, braindecode_head, known_model
from vitreous.networks.cards import HasMeanAndStd, NetworkCard, input_to_json, scaling_to_json
from vitreous.networks.decoders import PYRAMID, UNET, decoded_features, is_decoder
from vitreous.networks.detectors import (
    OURS,
    WholePicture,
    dense_head,
    is_detector,
    torchvision_head,
)
from vitreous.networks.features.atcnet import ATCNet
from vitreous.networks.features.convnets import Deep4, ShallowConvNet
from vitreous.networks.features.eegnet import BaseNet, EEGNet
from vitreous.networks.features.lenet import LeNet, LeNet1998
from vitreous.networks.features.pocket import Pocket
from vitreous.networks.features.resnet import ResNet
from vitreous.networks.features.timm import TimmFeatures
from vitreous.networks.features.unet import UNetEncoder, UNetPlan, plan_for
from vitreous.networks.heads.classify import LeNet1998Head, LeNetHead, MaximumHead, PooledHead
from vitreous.networks.heads.eeg import ATCNetHead, FlatHead
from vitreous.networks.heads.segment import SegmentHead, decoder_widths
from vitreous.networks.heads.segment_pyramid import PyramidSegmentHead
from vitreous.networks.heads.timm import timm_head
from vitreous.networks.network import DenseNetwork, Network, count_parameters, run_once
from vitreous.networks.torchvision_models import KNOWN, ON_FEATURES
from vitreous.networks.torchvision_models import PREFIX as TORCHVISION
from vitreous.networks.transfer import start_from
from vitreous.networks.weights import Weights, find_weights

Shape = tuple[int, int, int]
"""Channels, height, width; of EEG trials 1, electrodes, samples."""

Signal = Literal["image", "eeg"]

DETECTED_SIDE = 32  # pixels that a detector needs a side: a cell of its coarsest map


@dataclass(frozen=True)
class Design:
    """A network in the table: how its two halves are made, and what it can take."""

    features: Callable[[Shape, float | None], nn.Module]  # input shape, sampling rate in Hz
    head: Callable[[nn.Module, Shape, int], nn.Module]  # features, input shape, outputs
    summary: str
    minimum_side: int = 1
    only_input: Shape | None = None  # the one input shape of a network that takes no other
    signal: Signal = "image"
    dense: bool = False  # answers for each cell of its input: for segmentation
    volumes: bool = False  # takes inputs of three dimensions as well


def _pooled_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:  # noqa: ARG001
    return PooledHead(features.channels[-1], outputs)  # type: ignore


def _maximum_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:  # noqa: ARG001
    return MaximumHead(features.channels[-1], outputs)  # type: ignore


def _lenet_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:
    coarsest = run_once(features, torch.zeros(1, *shape), "features")[-1]
    return LeNetHead(coarsest.shape[1], tuple(coarsest.shape[2:]), outputs)


def _flat_head(largest_norm: float | None) -> Callable[[nn.Module, Shape, int], nn.Module]:
    def head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:
        last = run_once(features, torch.zeros(1, *shape), "features")[-1]
        return FlatHead(last.shape[1], last.shape[3], outputs, largest_norm)

    return head


def _unet(plan: UNetPlan | None = None) -> Design:
    """A U-Net of the plan, or of one made from the input's size."""
    return Design(
        features=lambda shape, rate: UNetEncoder(shape[0], plan or plan_for(shape[1:])),  # noqa: ARG005
        head=_unet_head,
        summary="U-Net with a residual encoder, for segmentation: a class for each pixel",
        minimum_side=8 if plan is None else 1,  # whoever made a plan knows the side
        dense=True,
        volumes=True,
    )


def _unet_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:  # noqa: ARG001
    plan: UNetPlan = features.plan  # type: ignore
    return SegmentHead(
        plan.widths,
        features.strides,  # type: ignore
        outputs,
        plan.widths[:-1],
        kernel_sizes=plan.kernel_sizes,
        norm=plan.norm,
        deep_supervision=plan.deep_supervision,
    )


def _decoded_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:  # noqa: ARG001
    channels: tuple[int, ...] = features.channels  # type: ignore
    return SegmentHead(channels, features.strides, outputs, decoder_widths(channels))  # type: ignore


def _pyramid_head(features: nn.Module, shape: Shape, outputs: int) -> nn.Module:  # noqa: ARG001
    return PyramidSegmentHead(features.channels, features.strides, outputs)  # type: ignore


DECODERS: dict[str, tuple[Callable[[nn.Module, Shape, int], nn.Module], str]] = {
    UNET: (_decoded_head, "a U-Net's decoder"),
    PYRAMID: (_pyramid_head, "a feature pyramid's decoder, for segmentation,"),
}

EEG_NETWORKS: dict[str, Design] = {
    "eegnet": Design(
        features=lambda shape, rate: EEGNet(*shape[1:], rate),
        head=_flat_head(0.25),
        summary="EEGNet-8,2: filters in time, then over electrodes; small, for any EEG",
        signal="eeg",
    ),
    "shallowconvnet": Design(
        features=lambda shape, rate: ShallowConvNet(*shape[1:], rate),
        head=_flat_head(0.5),
        summary="ShallowConvNet: the band power of 40 learned filters, for rhythms",
        signal="eeg",
    ),
    "deep4": Design(
        features=lambda shape, rate: Deep4(*shape[1:], rate),
        head=_flat_head(0.5),
        summary="DeepConvNet (Deep4): four blocks of convolution and max-pooling, for much data",
        signal="eeg",
    ),
    "basenet": Design(
        features=lambda shape, rate: BaseNet(*shape[1:], rate),
        head=_flat_head(None),
        summary="BaseNet: 40 filters with one weighting of electrodes each; 3,692 parameters",
        signal="eeg",
    ),
    "atcnet": Design(
        features=lambda shape, rate: ATCNet(*shape[1:], rate),
        head=lambda features, shape, outputs: ATCNetHead(features.channels[-1], outputs),  # noqa: ARG005  # type: ignore
        summary="ATCNet: a filter bank, then attention and causal convolutions in five windows",
        signal="eeg",
    ),
}

NETWORKS: dict[str, Design] = {
    "lenet5": Design(
        features=lambda shape, rate: LeNet(shape[0], shape[1:]),  # noqa: ARG005
        head=_lenet_head,
        summary="LeNet-5 as it is usually written today: ReLU, max-pooling, full connections",
        minimum_side=LeNet.minimum_side,
    ),
    "lenet5-1998": Design(
        features=lambda shape, rate: LeNet1998(),  # noqa: ARG005 the published network has one shape
        head=lambda features, shape, outputs: LeNet1998Head(outputs),  # noqa: ARG005
        summary="LeNet-5 as published in 1998, with a linear output; 1 x 32 x 32 only",
        only_input=LeNet1998.input_shape,
    ),
    "pocket": Design(
        features=lambda shape, rate: Pocket(shape[0], shape[1:]),  # noqa: ARG005
        head=_maximum_head,
        summary="wide and shallow, its first layer whitened from the data: few epochs do",
        minimum_side=Pocket.minimum_side,
    ),
    "resnet": Design(
        features=lambda shape, rate: ResNet(shape[0], shape[1:]),  # noqa: ARG005
        head=_pooled_head,
        summary="a small residual network that two processor cores train fast",
        minimum_side=ResNet.minimum_side,
        volumes=True,
    ),
    "unet": _unet(),
    **EEG_NETWORKS,
}


def build_network(
    name: str,
    input_shape: Sequence[int],
    outputs: int,
    *,
    weights: str | Weights | None = None,
    scaling: HasMeanAndStd | None = None,
    seed: int | None = None,
    keep_classifier: bool = False,
    sampling_rate_hz: float | None = None,
    plan: UNetPlan | None = None,
) -> Network:
    """A network from the table, a convolutional one of timm (`timm:NAME` or its bare name), one
    of braindecode (`braindecode:NAME`), or a decoder on the features of one for pictures: a
    U-Net's (`unet:resnet`, `unet:timm:NAME`), or a feature pyramid's (`fpn:resnet`).

    `plan` says how a `unet` is built, by default by the input's size. `input_shape` is (channels,
    height, width), of volumes with depth before height, of EEG trials (1, electrodes, samples):
    their kernels have the published lengths in samples or, with `sampling_rate_hz`, in seconds.
    `outputs` is the number of classes (1 for a regression), `scaling` what the pictures will be
    scaled with; it is kept on the card. The same `seed` gives the same first weights. With
    `weights` (found, or as `--weights` names them) all but the classifier starts from those, the
    classifier too with `keep_classifier`, and their scaling is on the card.

    Raises `RequestError` for an unknown name, an input the network cannot take, and weights that
    do not fit it.
    """
    full_name, design = find_design(name)
    if plan is not None:
        if full_name != "unet":
            raise RequestError(f"{full_name}: only unet is built from a plan")
        design = _unet(plan)
    if isinstance(weights, str):
        weights = find_weights(weights, full_name)
    shape: Any = tuple(input_shape)  # three numbers, of volumes four
    _check_input(full_name, design, shape)
    with _seeded(seed):
        features = design.features(shape, sampling_rate_hz)
        head = design.head(features, shape, outputs)
    card = NetworkCard(
        name=full_name,
        features=type(features).__name__,
        head=type(head).__name__,
        input=input_to_json(input_shape),
        outputs=outputs,
        parameters=count_parameters(features) + count_parameters(head),
        scaling=scaling_to_json(scaling, input_shape[0]),
        sampling_rate_hz=sampling_rate_hz,
        plan=features.plan.to_json() if isinstance(features, UNetEncoder) else None,
    )
    network = (DenseNetwork if design.dense else Network)(features, head, card)
    if weights is not None:
        start_from(network, weights, keep_classifier)
    return network


def rebuild_network(card: NetworkCard) -> Network:
    """The network of a card, with random weights.

    Raises `RequestError` where the card is of a user's own modules, which have no name here.
    """
    rate = card.sampling_rate_hz
    plan = None if card.plan is None else UNetPlan.from_json(card.plan)
    network = build_network(
        card.name, card.input_shape, card.outputs, sampling_rate_hz=rate, plan=plan
    )
    network.card = card
    return network


def find_design(name: str) -> tuple[str, Design]:
    """The full name and the design of a network; `RequestError` for an unknown name."""
    if name in NETWORKS:
        return name, NETWORKS[name]
    if is_decoder(name):
        return _decoder_on(name)
    if is_detector(name):
        return _detector(name)
    if name.startswith("braindecode:"):
        known = known_model(name)
        return f"braindecode:{known}", Design(
            features=lambda shape, rate: WholeTrial(rate),  # noqa: ARG005
            head=lambda features, shape, outputs: braindecode_head(known, features, shape, outputs),
            summary=f"{known} of braindecode",
            signal="eeg",
        )
    plain = name.removeprefix("timm:").split(".")[0]
    if name.startswith("timm:") or timm.is_model(plain):
        return f"timm:{plain}", Design(
            features=lambda shape, rate: TimmFeatures(plain, shape[0], shape[1:]),  # noqa: ARG005
            head=lambda features, shape, outputs: timm_head(plain, features, shape[0], outputs),
            summary=f"{plain} of timm",
        )
    error = unknown_name("network", name, NETWORKS)
    raise RequestError(
        f"{error}, and timm's convolutional networks as timm:NAME, braindecode's as "
        "braindecode:NAME; for segmentation unet, or unet:NAME or fpn:NAME on another's features"
    )


def _decoder_on(name: str) -> tuple[str, Design]:
    full_name, inner = find_design(decoded_features(name))
    kind = name.partition(":")[0] + ":"
    if inner.dense or inner.signal != "image" or inner.only_input:
        raise RequestError(f"{kind}{full_name}: a decoder needs the features of a network for "
                           f"pictures, such as {kind}resnet or {kind}timm:resnet18")  # fmt: skip
    head, words = DECODERS[kind]
    return f"{kind}{full_name}", Design(
        features=inner.features,
        head=head,
        summary=f"{words} on the features of {full_name}",
        minimum_side=inner.minimum_side,
        dense=True,
        volumes=inner.volumes and kind == UNET,
    )


def _detector(name: str) -> tuple[str, Design]:
    """Our dense head or one of torchvision's on the features of a network, or a whole one."""
    if name.startswith(OURS):
        inside, inner = _for_pictures(name.removeprefix(OURS), name)
        return f"{OURS}{inside}", Design(
            features=inner.features,
            head=lambda features, shape, outputs: dense_head(features, outputs),  # noqa: ARG005
            summary=f"a detector's dense head on the features of {inside}",
            minimum_side=max(DETECTED_SIDE, inner.minimum_side),
        )
    head, _, inside = name.removeprefix(TORCHVISION).partition(":")
    inner = None
    if inside or head in ON_FEATURES:
        inside, inner = _for_pictures(inside, name)
    elif head not in KNOWN:
        raise unknown_name("torchvision detector", head, KNOWN)
    make = None if inner is None else inner.features
    return f"{TORCHVISION}{head}" + (f":{inside}" if inside else ""), Design(
        features=lambda shape, rate: WholePicture(shape[0]),  # noqa: ARG005
        head=lambda whole, shape, outputs: torchvision_head(  # noqa: ARG005
            head, None if make is None else make(shape, None), shape, outputs
        ),
        summary=f"torchvision's {head}",
        minimum_side=DETECTED_SIDE,
    )


def _for_pictures(name: str, whole: str) -> tuple[str, Design]:
    """A network whose features a detector can have."""
    if not name:
        raise RequestError(f"{whole}: name the features, as {whole}:timm:resnet18")
    full_name, inner = find_design(name)
    if inner.signal != "image" or inner.only_input or is_detector(full_name):
        raise RequestError(
            f"{whole}: a detector needs the features of a network for pictures, such as "
            "detect:resnet or detect:timm:resnet18"
        )
    return full_name, inner


def default_network(input_shape: Shape, samples: int) -> tuple[str, str]:
    """The name of the network to take where none is asked for, and one sentence why.

    >>> default_network((3, 128, 128), 400)[0]
    'resnet'
    """
    channels, *size = input_shape
    small = channels == 1 and LeNet.minimum_side <= min(size) and max(size) <= 32
    if small and samples < 5000:
        return "lenet5", f"{samples} small grey pictures: a small network learns them well"
    return "resnet", "a residual network learns pictures of all sizes, fast on a processor too"


def _check_input(name: str, design: Design, shape: Shape) -> None:
    shown = " x ".join(map(str, shape))
    if design.signal == "eeg":
        if shape[0] != 1:
            raise RequestError(
                f"{name} takes EEG trials of 1 x electrodes x samples, not {shown}; for pictures "
                "take resnet, lenet5, or timm:NAME"
            )
        return
    if design.only_input and tuple(shape) != design.only_input:
        needed = " x ".join(map(str, design.only_input))
        raise RequestError(
            f"{name} takes pictures of {needed} only, not {shown}; resize them, or use lenet5"
        )
    if len(shape) > 3 and not design.volumes:
        raise RequestError(
            f"{name} is for pictures; for whole scans take resnet (for masks unet), or train on "
            "their slices with --slices axial"
        )
    if min(shape[1:]) < design.minimum_side:
        raise RequestError(
            f"{name} needs pictures of at least {design.minimum_side} x {design.minimum_side}, "
            f"not {shown}; enlarge them"
        )


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Random numbers by the seed inside, and the others as if nothing had happened after."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
