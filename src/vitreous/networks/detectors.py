"""Detectors by name: our dense head, or torchvision's, on the features of a network."""

from torch import Tensor, nn

from vitreous.networks.heads.detect import DetectHead
from vitreous.networks.torchvision_models import (
    PREFIX,
    OwnLosses,
    TorchvisionDetector,
    detector_on,
    whole_detector,
)

OURS = "detect:"

Shape = tuple[int, ...]


def is_detector(name: str) -> bool:
    """Whether a network's full name is a detector's.

    >>> is_detector("detect:resnet"), is_detector("resnet")
    (True, False)
    """
    return name.startswith((OURS, PREFIX))


def detector_name(name: str) -> str:
    """The detector on the features of a network, or the name itself where it is one.

    >>> detector_name("timm:resnet18"), detector_name("torchvision:fcos:resnet")
    ('detect:timm:resnet18', 'torchvision:fcos:resnet')
    """
    return name if is_detector(name) else f"{OURS}{name}"


def features_of(name: str) -> str:
    """The network whose features a detector has; of a whole one its own name.

    >>> features_of("detect:timm:resnet18"), features_of("torchvision:fcos_resnet50_fpn")
    ('timm:resnet18', 'torchvision:fcos_resnet50_fpn')
    """
    if name.startswith(OURS):
        return name.removeprefix(OURS)
    head, _, inner = name.removeprefix(PREFIX).partition(":")
    return inner if name.startswith(PREFIX) and inner and head else name


class WholePicture(nn.Module):
    """The picture itself as the only map: a detector that is one piece reads it in the head."""

    strides = ((1, 1),)

    def __init__(self, channels: int):
        super().__init__()
        self.channels = (channels,)

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Pictures (batch, channels, height, width), as they came."""
        return [inputs]


class WholeHead(TorchvisionDetector):
    """A detector of torchvision that takes the picture as its only map."""

    def forward(self, maps: list[Tensor]) -> Tensor | OwnLosses:  # type: ignore[override]
        """The detector's answers; while training its losses."""
        return super().forward(maps[-1])


def trained_features(network: nn.Module) -> nn.Module | None:
    """What makes the maps of a network; of torchvision's detectors on features of ours those.

    None for a detector of torchvision that is one piece, and for networks of other kinds.
    """
    features = getattr(network, "features", None)
    if isinstance(features, WholePicture):
        features = getattr(getattr(network, "head", None), "model", None)
        features = getattr(getattr(features, "backbone", None), "features", None)
    return features if isinstance(features, nn.Module) and hasattr(features, "strides") else None


def dense_head(features: nn.Module, outputs: int) -> DetectHead:
    """Our head on features; raises `RequestError` where they lack a map that it needs."""
    return DetectHead(features.channels, features.strides, outputs)  # type: ignore


def torchvision_head(
    name: str, features: nn.Module | None, shape: Shape, outputs: int
) -> WholeHead:
    """torchvision's detector `name`, on features of ours where there are any."""
    if features is None:
        return WholeHead(whole_detector(name, outputs, (shape[1], shape[2])).model)
    return WholeHead(detector_on(name, features, outputs).model)
