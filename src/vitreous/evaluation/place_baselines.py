"""What a segmenting or detecting network has to beat: answers that hardly look.

For masks a straight line through what hand-made kernels see at each pixel; for boxes the mean box
of each class at its mean place, without looking at all.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from vitreous.convolution.kernels import gabor_bank, gaussian_blur, laplacian_of_gaussian, sobel
from vitreous.data.boxes.boxes import Boxes
from vitreous.data.masks.mask_label import IGNORE
from vitreous.errors import RequestError
from vitreous.evaluation.box_matching import BoxAnswers

PIXEL_LOGISTIC = "logistic regression on blurred, edge and Gabor maps, pixel by pixel"
MEAN_BOX = "each class's mean box at its mean place"

BLURS_PIXELS = (1.0, 2.0, 4.0)  # standard deviations
MOST_PIXELS = 20_000  # more hardly help a straight line
STEPS = 200
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601

Features = NDArray[np.float32]


@dataclass(frozen=True)
class PixelLogistic:
    """A fitted line: its name, how it came about, and its answers."""

    name: str
    note: str
    classes: NDArray[np.int64]  # those that training has
    mean: Features
    scale: Features
    model: LogisticRegression | None  # None where training has one class alone

    def answer(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The likeliest class of each pixel, uint8 (height, width), of a picture (h, w, 1 or 3)."""
        height, width, _ = pixels.shape
        if self.model is None:
            return np.full((height, width), self.classes[0], np.uint8)
        maps = kernel_maps(pixels).reshape(height * width, -1)
        scores = self.model.decision_function((maps - self.mean) / self.scale)
        best = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes[best].astype(np.uint8).reshape(height, width)


def pixel_logistic(
    pictures: Sequence[NDArray[np.uint8]],
    masks: Sequence[NDArray[np.uint8]],
    *,
    seed: int = 0,
    most: int = MOST_PIXELS,
) -> PixelLogistic:
    """Fit on at most `most` pixels of the training pictures, as many of each, drawn by `seed`.

    `pictures` uint8 (height, width, 1 or 3), `masks` (height, width) with class numbers, or
    `IGNORE`. Raises `RequestError` where no pixel has a class.
    """
    random = np.random.default_rng(seed)
    each = max(1, most // max(len(pictures), 1))
    inputs: list[Features] = []
    truth: list[NDArray[np.uint8]] = []
    for pixels, mask in zip(pictures, masks, strict=True):
        labelled = np.flatnonzero(mask.ravel() != IGNORE)
        chosen = random.permutation(labelled)[:each]
        inputs.append(kernel_maps(pixels).reshape(mask.size, -1)[chosen])
        truth.append(mask.ravel()[chosen])
    if not sum(len(part) for part in truth):
        raise RequestError("no pixel of the training pictures has a class; nothing to fit")
    maps, labels = np.concatenate(inputs), np.concatenate(truth).astype(np.int64)
    mean, deviation = maps.mean(axis=0), maps.std(axis=0)
    scale = np.where(deviation > 1e-3, deviation, 1.0).astype(np.float32)
    classes = np.unique(labels)
    model = None
    if len(classes) > 1:
        model = LogisticRegression(max_iter=STEPS)
        with warnings.catch_warnings():  # a baseline need not be at its very optimum
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit((maps - mean) / scale, labels)
    note = f"fitted on {len(labels):,} pixels of {len(pictures)} training pictures"
    return PixelLogistic(PIXEL_LOGISTIC, note, classes, mean, scale, model)


def kernel_maps(pixels: NDArray[np.uint8]) -> Features:
    """What hand-made kernels see at each pixel, float32 (height, width, maps), in grey levels.

    The channels themselves and three blurs of them; of the light the steepness (Sobel), the
    curvature (Laplacian of Gaussian, both signs as they are) and eight Gabor responses without
    their signs. The picture is mirrored at its border.
    """
    channels = pixels.astype(np.float32)
    light = channels @ LUMA if pixels.shape[2] == 3 else channels[..., 0]
    blurred = [
        _correlated(channels[..., channel], [gaussian_blur(sigma) for sigma in BLURS_PIXELS])
        for channel in range(pixels.shape[2])
    ]
    right, down, curvature, *stripes = _correlated(
        light, [sobel("x") / 8, sobel("y") / 8, laplacian_of_gaussian(), *gabor_bank().values()]
    )
    maps = [*np.moveaxis(channels, 2, 0), *(each for of_channel in blurred for each in of_channel),
            np.hypot(right, down), curvature, *map(np.abs, stripes)]  # fmt: skip
    return np.stack(maps, axis=2).astype(np.float32)


def _correlated(
    plane: Features, kernels: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float32]]:
    """Cross-correlation of a plane, mirrored at its border, with odd kernels: one transform each.

    A product of transforms is a convolution (the convolution theorem); kernels are turned round.
    """
    height, width = plane.shape
    reach = max(max(kernel.shape) // 2 for kernel in kernels)
    padded = np.pad(plane, reach, mode="symmetric")
    shape = tuple(fft.next_fast_len(side + 2 * reach, real=True) for side in padded.shape)
    transformed = np.asarray(fft.rfft2(padded, shape))
    results = []
    for kernel in kernels:
        turned = kernel[::-1, ::-1].astype(np.float32)
        whole = np.asarray(fft.irfft2(transformed * np.asarray(fft.rfft2(turned, shape)), shape))
        top, left = (reach + side // 2 for side in kernel.shape)
        results.append(whole[top : top + height, left : left + width])
    return results


@dataclass(frozen=True)
class MeanBoxes:
    """A box a class, as shares of the picture's sides, and how sure it is."""

    name: str
    note: str
    corners: NDArray[np.float64]  # (classes, 4)
    confidences: NDArray[np.float64]  # (classes,): share of training pictures that have the class

    def answer(self, size: tuple[int, int]) -> BoxAnswers:
        """The same boxes on every picture of `size` (height, width): a box a class that occurs."""
        height, width = size
        place = np.flatnonzero(self.confidences)
        corners = self.corners[place] * np.array([width, height, width, height], np.float64)
        return BoxAnswers(corners, place, self.confidences[place])


def mean_boxes(truth: Sequence[Boxes], sizes: Sequence[tuple[int, int]], classes: int) -> MeanBoxes:
    """The mean middle, width and height of each class over the training pictures.

    `sizes` are the pictures' heights and widths, in the order of `truth`. Crowds are left out.
    """
    shares = np.concatenate([
        boxes.corners / np.array([width, height, width, height], np.float64)
        for boxes, (height, width) in zip(truth, sizes, strict=True)
    ])  # fmt: skip
    numbers = np.concatenate([np.where(boxes.crowd, -1, boxes.classes) for boxes in truth])
    corners = np.zeros((classes, 4))
    for place in range(classes):
        if (numbers == place).any():
            corners[place] = shares[numbers == place].mean(axis=0)  # the middle's and the sides'
    seen = np.stack([
        np.bincount(boxes.classes[~boxes.crowd], minlength=classes) > 0 for boxes in truth
    ])  # fmt: skip
    note = f"over {int((numbers >= 0).sum()):,} boxes of {len(truth)} training pictures"
    return MeanBoxes(MEAN_BOX, note, corners, seen.mean(axis=0))
