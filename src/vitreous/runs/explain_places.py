"""`explain` where answers say what is where: one pixel, one voxel, or one box of a picture."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2.functional import resize

from vitreous.data.pictures import read_picture
from vitreous.data.transforms import to_network_input
from vitreous.data.windows import open_windows
from vitreous.errors import DataError, RequestError, VitreousError
from vitreous.evaluation.box_calibration import BoxCalibration, confidence_words
from vitreous.evaluation.box_matching import counting
from vitreous.inference.boxes import in_picture
from vitreous.inference.dense import coarsest_stride
from vitreous.inference.tiling import mirror_padded, padded_space
from vitreous.insight.attribution import (
    AtLayer,
    CellOf,
    OnePlace,
    PixelOf,
    SignedMap,
    map_layer,
    read_layers,
)
from vitreous.insight.attribution.one_place import READ
from vitreous.insight.fills import Background
from vitreous.networks.modes import evaluating
from vitreous.runs.explaining import Shares
from vitreous.runs.predict import boxed
from vitreous.runs.predict_masks import at_scale
from vitreous.runs.run import Run
from vitreous.tasks.detect import Detect

WINDOW = 512  # pixels a side that are looked at around a pixel, at most


@dataclass(frozen=True)
class AskedPlace:
    """Which of a picture's answers is explained, as it was asked for."""

    pixel: tuple[int, int] | None = None  # x, y in the picture's own pixels
    voxel: tuple[int, int, int] | None = None  # x, y, z in the scan's own voxels, turned to RAS
    box: int = 1  # 1 is the surest


@dataclass(frozen=True)
class PlacedSample:
    """A picture as a network gets it, and the answer in it that is explained."""

    name: str
    pixels: np.ndarray  # uint8 (channels, height, width): a window of the picture, or all of it;
    # of a scan float32 (channels, depth, height, width)
    place: PixelOf | CellOf
    mark: tuple[float, float, float, float]  # left, top, right, bottom in `pixels`
    words: str
    facts: dict[str, Any]  # for JSON
    shown: tuple[int, ...]  # (depth,) height and width of `pixels` that are not padding
    target: int | None = None  # of a box: its class, and how sure it is
    confidence: float | None = None
    voxel: tuple[int, int, int] | None = None  # of a scan: slice, row, column in `pixels`


def asked_place(
    run: Run,
    pixel: str | Sequence[int] | None,
    box: int | None,
    voxel: str | Sequence[int] | None = None,
) -> AskedPlace | None:
    """The place that was asked for; None for runs that answer with one thing a sample.

    Raises `RequestError` where a place is missing, or does not fit the run's answers.
    """
    task = run.record.task
    if task not in ("segment", "detect"):
        given = (("--pixel", pixel), ("--box", box), ("--voxel", voxel))
        flag = next((name for name, value in given if value is not None), None)
        if flag is not None:
            raise RequestError(f"{flag}: {run.folder} has one answer a sample; leave it out")
        return None
    if run.of_scans:
        if pixel is not None or box is not None:
            flag = "--pixel" if pixel is not None else "--box"
            raise RequestError(
                f"{flag}: {run.folder} answers voxel by voxel; name one with --voxel X,Y,Z"
            )
        if voxel is None:
            raise RequestError(
                f"{run.folder}: answers voxel by voxel; name the one with --voxel X,Y,Z"
            )
        x, y, z = _whole_numbers(
            "--voxel", voxel, 3, "X,Y,Z, to the right, the front and the head, such as 20,31,14"
        )
        return AskedPlace(voxel=(x, y, z))
    if voxel is not None:
        raise RequestError(f"--voxel: {run.folder} is of pictures; name a place with --pixel X,Y")
    if task == "detect":
        if pixel is not None:
            raise RequestError(f"--pixel: {run.folder} answers with boxes; name one with --box N")
        if box is not None and box < 1:
            raise RequestError(f"--box {box}: count from 1, the surest")
        if not isinstance(run.task, Detect) or run.record.network["name"].startswith("torchvision"):
            raise RequestError(
                f"{run.folder}: torchvision's detectors choose boxes inside; explained are those "
                "of detect:... networks"
            )
        return AskedPlace(box=box or 1)
    if box is not None:
        raise RequestError(f"--box: {run.folder} answers pixel by pixel; name one with --pixel X,Y")
    if pixel is None:
        raise RequestError(f"{run.folder}: answers pixel by pixel; name the one with --pixel X,Y")
    x, y = _whole_numbers(
        "--pixel", pixel, 2, "X,Y, to the right and down from the top-left corner, such as 120,85"
    )
    return AskedPlace(pixel=(x, y))


def _whole_numbers(
    flag: str, given: str | Sequence[int], count: int, words: str
) -> tuple[int, ...]:
    parts = given.split(",") if isinstance(given, str) else list(given)
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) != count:
        many = {2: "two", 3: "three"}[count]
        raise RequestError(f"{flag} {given}: give {many} whole numbers {words}")
    return numbers


def placed_samples(
    run: Run, paths: Iterator[Path], place: AskedPlace, max_pixels: int
) -> Iterator[tuple[str, PlacedSample | VitreousError]]:
    """Each picture with the place in it; what has no such place is the error that says so."""
    find = _pixel_in if place.pixel is not None else _box_in
    for path in paths:
        try:
            yield str(path), find(run, path, place, max_pixels)
        except VitreousError as error:
            yield str(path), error


def _pixel_in(run: Run, path: Path, asked: AskedPlace, max_pixels: int) -> PlacedSample:
    """A window around the pixel, whose place is a multiple of the network's coarsest stride."""
    assert asked.pixel is not None
    x, y = asked.pixel
    picture = open_windows(path, str(path), run.pixel_format.channels, max_pixels)
    height, width = picture.size
    if not (0 <= x < width and 0 <= y < height):
        raise DataError(
            f"{path}: --pixel {x},{y} is outside of it; it has {width} x {height} pixels, from 0,0"
        )
    seen = at_scale(picture, run.pixel_format.scale or 1.0)
    at = [min(int((place + 0.5) * own / size), own - 1)
          for place, own, size in zip((y, x), seen.size, picture.size, strict=True)]  # fmt: skip
    steps = coarsest_stride(run.network)
    starts, sides = [], []
    for place, size, step in zip(at, seen.size, steps, strict=True):
        side = min(WINDOW // step * step, padded_space((size,), (step,))[0])
        start = max(0, min(place - side // 2, padded_space((size,), (step,))[0] - side))
        starts.append(start // step * step)
        sides.append(side)
    stops = [min(start + side, own)
             for start, side, own in zip(starts, sides, seen.size, strict=True)]  # fmt: skip
    pixels = seen.read(starts[0], starts[1], stops[0], stops[1])
    row, column = (place - start for place, start in zip(at, starts, strict=True))
    return PlacedSample(
        str(path),
        np.ascontiguousarray(mirror_padded(pixels, (sides[0], sides[1]))),
        PixelOf((row, column)),
        (column, row, column + 1, row + 1),
        f"pixel {x}, {y}",
        {
            "pixel": [x, y],
            "seen": {"left": starts[1], "top": starts[0], "right": stops[1], "bottom": stops[0],
                     "scale": run.pixel_format.scale or 1.0},
        },
        (stops[0] - starts[0], stops[1] - starts[1]),
    )  # fmt: skip


def _box_in(run: Run, path: Path, asked: AskedPlace, max_pixels: int) -> PlacedSample:
    """The picture as the detector sees it, and the head's cell that answered with the box."""
    task, calibration = run.task, BoxCalibration.from_json(run.record.calibration)
    assert isinstance(task, Detect)
    picture = read_picture(path, str(path), max(task.size), max_pixels)
    pixels = boxed(picture, run)
    inputs = inputs_of(run, pixels)
    with evaluating(run.network):
        (seen,) = task.answers(run.network(inputs))
    found = in_picture(seen, picture.size, task.size)
    sure = np.flatnonzero(
        counting(found.classes, calibration.calibrated(found.scores), calibration.confidence)
    )
    if not len(sure):
        words = confidence_words(calibration.confidence, run.record.classes)
        raise DataError(f"{path}: has no box to explain: none is as sure as {words}")
    if asked.box > len(sure):
        raise DataError(
            f"{path}: --box {asked.box} is not there: it has {len(sure)}, from 1, the surest"
        )
    number = int(sure[asked.box - 1])
    assert found.cells is not None
    (match,) = np.flatnonzero(
        (seen.cells == found.cells[number]) & (seen.classes == found.classes[number])  # type: ignore[operator]
    )
    left, top, right, bottom = found.corners[number]
    name = run.record.classes[int(found.classes[number])]
    confidence = float(calibration.calibrated(found.scores[number : number + 1])[0])
    corners = dict(zip(("left", "top", "right", "bottom"), found.corners[number], strict=True))
    return PlacedSample(
        str(path),
        pixels,
        CellOf(int(found.cells[number]), task.outputs),
        tuple(float(side) for side in seen.corners[match]),  # type: ignore[arg-type]
        f"box {asked.box}: {name}, {confidence:.1%}, from {left:.0f}, {top:.0f} to {right:.0f}, "
        f"{bottom:.0f}",
        {
            "box": asked.box,
            "boxes": len(sure),
            **{side: round(float(at), 2) for side, at in corners.items()},
        },
        (pixels.shape[1], pixels.shape[2]),
        int(found.classes[number]),
        confidence,
    )


def inputs_of(run: Run, pixels: np.ndarray) -> Tensor:
    """One decoded picture (channels, height, width) as the network takes it, a batch of one."""
    return to_network_input(torch.from_numpy(np.array(pixels[None])), run.scaling)


@dataclass
class PlacedNetworks:
    """A network for one place after another; layers are found once for each size of inputs."""

    network: nn.Module
    layer: str | None
    at_layer: bool
    forgetful: nn.Module | None
    _layers: dict[tuple[int, ...], AtLayer] = field(default_factory=dict)

    def at(self, sample: PlacedSample) -> tuple[OnePlace, AtLayer | None, OnePlace | None]:
        """The network for a sample's place, the layer to explain it at, and one that forgot."""
        network = OnePlace(self.network, sample.place)
        forgetful = None if self.forgetful is None else OnePlace(self.forgetful, sample.place)
        if not self.at_layer:
            return network, None, forgetful
        size = sample.pixels.shape
        if size not in self._layers:
            example = torch.zeros(1, *size)
            whole = self.layer in (None, READ)
            self._layers[size] = (
                read_layers(network, example) if whole else map_layer(network, example, self.layer)
            )
        return network, self._layers[size], forgetful


def shares_of(run: Run) -> Shares:
    """What makes of outputs (batch, outputs) calibrated probabilities, or numbers."""
    if run.record.task == "detect":
        calibration = BoxCalibration.from_json(run.record.calibration)

        def confidences(outputs: Tensor) -> Tensor:
            scores = outputs.double().sigmoid().cpu().numpy()
            return torch.from_numpy(np.asarray(calibration.calibrated(scores)))

        return confidences
    return lambda outputs: run.task.answers(outputs.float().cpu(), run.temperature).double()


def only_the_picture(one: SignedMap, shown: tuple[int, ...]) -> SignedMap:
    """A map without what was added to fill the network's strides."""
    return replace(one, values=one.values[tuple(slice(side) for side in shown)])


def background_at(background: Background | None, size: Sequence[int]) -> Background | None:
    """The training pictures in the size (height, width) of what is explained.

    Of scans (depth, height, width) the middle of each is taken.
    """
    if background is None or tuple(background.samples.shape[2:]) == tuple(size):
        return background
    if len(size) == 3:
        sides = background.samples.shape[2:]
        starts = [(side - wanted) // 2 for side, wanted in zip(sides, size, strict=True)]
        middle = [slice(at, at + wanted) for at, wanted in zip(starts, size, strict=True)]
        return replace(background, samples=background.samples[(..., *middle)].contiguous())
    samples = resize(background.samples, list(size), antialias=True)
    return replace(background, samples=samples)
