"""The EfficientNet-Lite0 file is loaded as it was trained: ImageNet pictures are answered right.

What the pictures go through matters: the usual way enlarges the short side to 256 and cuts out the
middle 224; our letterbox keeps the whole picture, so that things in it are smaller.
"""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.results import keep
from vitreous.data.letterbox import letterbox
from vitreous.data.transforms import Scaling
from vitreous.inference import outputs_of
from vitreous.networks import build_network, find_weights

pytestmark = [pytest.mark.data, pytest.mark.acceptance]


def middle(pixels: np.ndarray, side: int = 224, share: float = 0.875) -> np.ndarray:
    """The short side resized to side / share, then the middle square cut out."""
    image = Image.fromarray(pixels)
    scale = round(side / share) / min(image.size)
    size = [round(length * scale) for length in image.size]
    left, top = ((length - side) // 2 for length in size)
    resized = image.resize(size, Image.Resampling.BICUBIC)  # type: ignore[arg-type]
    return np.asarray(resized.crop((left, top, left + side, top + side)))


WAYS = {
    "short side 256, middle 224": middle,
    "letterbox 224": lambda pixels: letterbox(pixels, (224, 224)),
    "letterbox 256": lambda pixels: letterbox(pixels, (256, 256)),
    "letterbox 288": lambda pixels: letterbox(pixels, (288, 288)),
}


def test_imagenet_sample(real_data):
    folder = real_data / "imagenet_sample"
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = torch.tensor([int(row["class_index"]) for row in rows])
    weights = find_weights(
        str(real_data / "weights_efficientnet_lite0" / "efficientnet-lite0-57934424.pth"), None
    )
    network = build_network(
        weights.network, (3, 224, 224), 1000, weights=weights, keep_classifier=True
    )
    card = network.card.scaling
    scaling = Scaling(tuple(card["mean"]), tuple(card["std"]))
    names = [folder / "images" / row["file"].rpartition("/")[2] for row in rows]
    pictures = [np.asarray(Image.open(name).convert("RGB")) for name in names]
    kept, top1 = [], {}
    for way, prepare in WAYS.items():
        ready = [np.moveaxis(prepare(pixels), -1, 0) for pixels in pictures]
        batches = (torch.from_numpy(np.stack(ready[i : i + 50])) for i in range(0, 200, 50))
        best = torch.cat(list(outputs_of(network, batches, scaling))).topk(5).indices
        right = best == truth[:, None]
        top1[way], top5 = float(right[:, 0].float().mean()), float(right.any(1).float().mean())
        kept.append({"what": way, "value": round(top1[way], 3), "top-5": round(top5, 3)})
    keep(
        "pretrained",
        "EfficientNet-Lite0's file on 200 ImageNet pictures: top-1, by how pictures are prepared",
        kept,
        "Own derivation of the file's figures: 0.89 top-1, 0.985 top-5 with the middle cut out.",
        command="make acceptance",
    )
    assert top1["short side 256, middle 224"] == pytest.approx(0.89, abs=0.006)
    assert kept[0]["top-5"] == pytest.approx(0.985, abs=0.006)
    assert top1["letterbox 288"] > top1["letterbox 224"]
