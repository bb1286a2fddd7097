"""Detectors of torchvision as they are: their layers, their losses, their own choice of answers."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

from vitreous.errors import RequestError, unknown_name
from vitreous.networks.heads.pyramid import map_places

if TYPE_CHECKING:
    from torchvision.models.detection.image_list import ImageList

PREFIX = "torchvision:"
WHOLE = (
    "fcos_resnet50_fpn",
    "retinanet_resnet50_fpn",
    "retinanet_resnet50_fpn_v2",
    "fasterrcnn_resnet50_fpn",
    "fasterrcnn_resnet50_fpn_v2",
    "fasterrcnn_mobilenet_v3_large_fpn",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
)
ON_FEATURES = ("fcos", "retinanet")
"""Heads that go on the features of any network: `torchvision:fcos:timm:NAME`."""

KNOWN = (*WHOLE, *(f"{name}:NAME" for name in ON_FEATURES))

PYRAMID_WIDTH = 256  # torchvision's own
LEVELS = (8, 16, 32)  # of the features; two coarser ones follow
ANCHOR = 2.0  # strides: the smallest anchor of a level; torchvision's 4 is for sides of 800 pixels
MOST_ANSWERS = 300
LEAST_SCORE = 0.01

BOX_NUMBERS = 6
"""Of each answer: left, top, right, bottom, class and score."""


@dataclass(frozen=True)
class OwnLosses:
    """What a detector of torchvision gives while training: what it learns needs the targets."""

    detector: "TorchvisionDetector"
    inputs: Tensor  # scaled pictures (batch, channels, height, width)

    def of(self, boxes: Sequence[Tensor], classes: Sequence[Tensor]) -> Tensor:
        """The sum of its losses for the pictures' boxes (n, 4) and classes int64 (n,)."""
        first = self.detector.first_class
        targets = [
            {"boxes": each, "labels": own + first} for each, own in zip(boxes, classes, strict=True)
        ]
        losses: Mapping[str, Tensor] = self.detector.model(list(self.inputs), targets)
        return torch.stack(list(losses.values())).sum()


class TorchvisionDetector(nn.Module):
    """One of torchvision's detectors, taking pictures that are scaled already.

    It answers (batch, MOST_ANSWERS, BOX_NUMBERS), the surest box first, filled with scores of -1;
    while training it gives `OwnLosses`.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.model.transform = AsTheyCome()
        from torchvision.models.detection import FasterRCNN  # slow to import, and seldom needed

        # of torchvision's classes the first is the background in Faster R-CNN, a class in others
        self.first_class = int(isinstance(model, FasterRCNN))

    def forward(self, inputs: Tensor) -> Tensor | OwnLosses:
        """Answers of pictures (batch, channels, height, width); while training their losses."""
        if self.training:
            return OwnLosses(self, inputs)
        found: Sequence[Mapping[str, Tensor]] = self.model(list(inputs))
        answers = inputs.new_full((len(inputs), MOST_ANSWERS, BOX_NUMBERS), -1.0)
        for row, each in enumerate(found):
            labels = (each["labels"] - self.first_class).to(inputs.dtype)
            numbers = torch.cat([each["boxes"], labels[:, None], each["scores"][:, None]], 1)
            answers[row, : len(numbers)] = numbers[:MOST_ANSWERS]
        return answers


class AsTheyCome(nn.Module):
    """In place of torchvision's resizing and scaling of pictures: nothing is done."""

    def forward(
        self, images: list[Tensor], targets: list[dict[str, Tensor]] | None = None
    ) -> tuple["ImageList", list[dict[str, Tensor]] | None]:
        """The pictures as one batch."""
        from torchvision.models.detection.image_list import ImageList

        sizes = [(each.shape[-2], each.shape[-1]) for each in images]
        return ImageList(torch.stack(images), sizes), targets

    def postprocess(self, result, image_shapes, original_image_sizes):  # noqa: ARG002
        """The answers, which are in the pictures' own pixels."""
        return result


class PyramidOn(nn.Module):
    """Features of ours with torchvision's feature pyramid, as its detectors take them."""

    def __init__(self, features: nn.Module):
        super().__init__()
        self.features = features
        self.places = map_places(features.strides, LEVELS)  # type: ignore
        if len(self.places) < len(LEVELS):
            raise RequestError(
                "torchvision's pyramid needs maps of strides 8, 16 and 32; take larger pictures, "
                "or timm:tf_efficientnet_lite0"
            )
        channels: list[int] = [features.channels[place] for place in self.places]  # type: ignore
        self.out_channels = PYRAMID_WIDTH
        self.pyramid = FeaturePyramidNetwork(
            channels, PYRAMID_WIDTH, LastLevelP6P7(PYRAMID_WIDTH, PYRAMID_WIDTH)
        )

    def forward(self, inputs: Tensor) -> dict[str, Tensor]:
        """Five maps by name, finest first."""
        maps = self.features(inputs)
        taken = OrderedDict((str(level), maps[place]) for level, place in enumerate(self.places))
        return self.pyramid(taken)


def whole_detector(name: str, classes: int, size: tuple[int, int]) -> TorchvisionDetector:
    """One of `WHOLE`, with random weights, for pictures of `size` (height, width)."""
    from torchvision.models import detection

    if name not in WHOLE:
        raise unknown_name("torchvision detector", name, KNOWN)
    background = int(name.startswith("fasterrcnn"))
    settings = {"min_size": min(size), "max_size": max(size)}
    few = {"box_score_thresh": LEAST_SCORE, "box_detections_per_img": MOST_ANSWERS}
    some = {"score_thresh": LEAST_SCORE, "detections_per_img": MOST_ANSWERS}
    model = getattr(detection, name)(
        weights=None,
        weights_backbone=None,
        num_classes=classes + background,
        **settings,
        **(few if background else some),
    )
    return TorchvisionDetector(model)


def detector_on(name: str, features: nn.Module, classes: int) -> TorchvisionDetector:
    """torchvision's FCOS or RetinaNet on features of ours."""
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    backbone = PyramidOn(features)
    some = {"score_thresh": LEAST_SCORE, "detections_per_img": MOST_ANSWERS, "nms_thresh": 0.6}
    if name == "fcos":
        return TorchvisionDetector(detection.FCOS(backbone, classes, **some))
    if name == "retinanet":
        sides = [ANCHOR * stride for stride in (*LEVELS, 64, 128)]
        sizes = tuple(tuple(round(side * 2 ** (k / 3)) for k in range(3)) for side in sides)
        anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
        return TorchvisionDetector(
            detection.RetinaNet(backbone, classes, anchor_generator=anchors, **some)
        )
    raise unknown_name("torchvision detector", name, KNOWN)


def load_detector(detector: TorchvisionDetector, tensors: Mapping[str, Tensor]) -> list[str]:
    """Put tensors of torchvision's file in place; sentences on what stays random.

    A whole detector's file, or that of its backbone alone. Layers for other classes keep their
    random start. Raises `RequestError` where hardly anything fits.
    """
    state = detector.model.state_dict()
    of_body = {f"backbone.body.{name}": value for name, value in tensors.items()}
    named = {**of_body, **tensors}
    fitting = {
        name: value for name, value in named.items()
        if name in state and state[name].shape == value.shape
    }  # fmt: skip
    backbone = [name for name in state if name.startswith("backbone.body.")]
    lacking = [name for name in backbone if name not in fitting]
    if len(lacking) > len(backbone) // 10:
        raise RequestError(
            f"these weights have {len(fitting)} of {len(state)} tensors of the detector (for "
            f"example not {lacking[0]}); give torchvision's file of this very network"
        )
    detector.model.load_state_dict({**state, **fitting})
    random = [name for name in state if name not in fitting]
    return [f"{len(random)} tensors start at random, such as {random[0]}"] if random else []
