"""torchvision's detectors behind our way of calling them: the same losses and answers."""

import numpy as np
import pytest
import torch
from torchvision.models import detection

from vitreous.data.boxes.boxes import Boxes
from vitreous.errors import RequestError
from vitreous.networks.features.resnet import ResNet
from vitreous.networks.torchvision_models import (
    detector_on,
    load_detector,
    whole_detector,
)
from vitreous.tasks.detect import Detect

SIZE = (64, 96)


def label(corners, classes):
    corners = np.array(corners, float)
    nothing = np.zeros(len(corners), bool)
    return Boxes(corners, np.array(classes), nothing, nothing, np.ones(len(corners)))


LABELS = [label([[4, 5, 40, 50], [50, 10, 90, 60]], [0, 1]), label([[10, 10, 30, 40]], [1])]


@pytest.mark.parametrize("name", ["fcos", "retinanet"])
def test_losses_and_answers_are_those_of_torchvision_itself(name):
    torch.manual_seed(0)
    features = ResNet(3, (256, 256))
    detector = detector_on(name, features, 2)
    task = Detect(("a", "b"), SIZE)
    pictures = torch.randn(2, 3, *SIZE)
    detector.train()
    loss = task.loss(detector(pictures), task.encode(LABELS))
    loss.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in features.parameters())
    plain = detector.model
    targets = [{"boxes": torch.tensor(each.corners).float(),
                "labels": torch.tensor(each.classes)} for each in LABELS]  # fmt: skip
    torch.testing.assert_close(sum(plain(list(pictures), targets).values()), loss)
    plain.score_thresh = 0.0
    detector.eval()
    with torch.no_grad():
        found = task.answers(detector(pictures))
        wanted = plain(list(pictures))
    for ours, theirs in zip(found, wanted, strict=True):
        assert len(ours.scores) == len(theirs["scores"]) > 0
        torch.testing.assert_close(torch.from_numpy(ours.corners).float(), theirs["boxes"])
        assert ours.classes.tolist() == theirs["labels"].tolist()
    assert torch.isnan(task.loss(detector(pictures), task.encode(LABELS)))


def test_faster_rcnn_counts_its_background_as_a_class_and_we_do_not():
    torch.manual_seed(0)
    detector = whole_detector("fasterrcnn_mobilenet_v3_large_320_fpn", 2, SIZE)
    task = Detect(("a", "b"), SIZE)
    predictor = detector.model.roi_heads.box_predictor
    assert predictor.cls_score.out_features == 3
    pictures = torch.randn(2, 3, *SIZE)
    loss = task.loss(detector.train()(pictures), task.encode(LABELS))
    assert torch.isfinite(loss)
    with torch.no_grad():
        found = task.answers(detector.eval()(pictures))
    assert {place for each in found for place in each.classes.tolist()} <= {0, 1}


def test_weights_of_a_file_are_taken_but_for_the_layers_of_other_classes():
    torch.manual_seed(0)
    theirs = detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=91
    )
    detector = whole_detector("fasterrcnn_mobilenet_v3_large_320_fpn", 2, SIZE)
    notes = load_detector(detector, theirs.state_dict())
    assert "box_predictor" in notes[0]
    ours = detector.model.state_dict()
    same = [n for n, value in theirs.state_dict().items() if torch.equal(ours[n], value)]
    assert len(same) >= len(ours) - 4
    with pytest.raises(RequestError, match="torchvision's file of this very network"):
        load_detector(detector, {"fc.weight": torch.zeros(2, 2)})


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(RequestError, match="fcos_resnet50_fpn"):
        whole_detector("yolo", 2, SIZE)
    with pytest.raises(RequestError, match="retinanet"):
        detector_on("ssd", ResNet(3, (256, 256)), 2)
