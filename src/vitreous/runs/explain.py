"""`explain`: what in a picture speaks for its answer, and whether the map that says so is true."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from vitreous.data.letterbox import letterbox, match_channels
from vitreous.data.listing import PICTURE_SUFFIXES, list_pictures
from vitreous.data.pictures import read_picture
from vitreous.data.samples import Skipped
from vitreous.data.transforms import to_network_input
from vitreous.errors import DataError, RequestError, VitreousError, unknown_name
from vitreous.insight.attribution import METHODS, MapLayer, SignedMap, Target, attribute, map_layer
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.faithfulness import check_map
from vitreous.insight.faithfulness_scores import Faithfulness
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.networks.modes import evaluating
from vitreous.runs.explain_trials import covered_patch, decoded_trials, usual_method
from vitreous.runs.predict import decoded
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.training_data import background_of
from vitreous.training.devices import serving_compute

BATCH = 16


@dataclass(frozen=True)
class PictureExplanation:
    """The map of one picture's answer and its checks, or why there is none."""

    sample_id: str  # the path as it was given
    picture: np.ndarray | None = (
        None  # uint8 (channels, height, width); float32 (1, channels, time)
    )
    predicted: str | float | None = None  # of this one view, in float32
    confidence: float | None = None  # calibrated
    explained: str | None = None  # the class that the map is of; "value" of a regression
    versus: str | None = None
    map: SignedMap | None = None
    others: tuple[SignedMap, ...] = ()  # by other methods, to compare with
    check: Faithfulness | None = None
    error: str | None = None

    def to_json(self, with_values: bool = False) -> dict[str, Any]:
        """Plain values for JSON; the map's own numbers only where asked for."""
        if self.error is not None or self.map is None:
            return {"sample_id": self.sample_id, "error": self.error}
        return {
            "sample_id": self.sample_id,
            "predicted": self.predicted,
            "confidence": self.confidence,
            "explained": self.explained,
            "versus": self.versus,
            "map": self.map.to_json(with_values),
            "check": None if self.check is None else self.check.to_json(),
        }


def explain(
    run: Run,
    inputs: str | Path | Iterable[str | Path],
    method: str | None = None,
    *,
    layer: str | None = None,
    target_class: str | None = None,
    versus: str | None = None,
    mask: str | Path | None = None,
    check: bool = True,
    background: Background | None = None,
    device: str | None = None,
    stdin: Iterable[str] | None = None,
    max_pixels: int | None = None,
    talk: Talk | None = None,
) -> Iterator[PictureExplanation]:
    """Maps for files, folders (all pictures below) and globs, in their order, one after the other.

    Of a run on recordings the inputs are recordings, all trials of each, or one: `FILE#SECONDS`.
    Without a method it is HiResCAM for pictures, and for trials DeepLIFT.

    Explained is the answer to one view of the picture, as the network sees it, in float32: where a
    run averages views, or serves in bfloat16, that is not quite the number that `predict` prints.
    `target_class` is what to explain (by default what the network answers), `versus` the class
    it is weighed against, `mask` a picture (or a folder of them, named alike) that is white where
    the cause lies. What cannot be read is an explanation whose `error` says why.

    Raises `RequestError` for an unknown method, layer or class, and where Captum is missing.
    """
    refuse_dense(run)
    if run.of_trials and mask is not None:
        raise RequestError(f"--mask: marks places of pictures, and {run.folder} is of recordings")
    method = method or usual_method(run)
    how = _request(run, method, layer, target_class, versus, device)
    network = run.network.to(how.device)
    told = talk or Talk(quiet=True)
    if background is None:
        background = background_of(run, told)
    if METHODS[method].needs_background and background is None:
        raise RequestError(f"{method} needs the run's training data, which are not at hand")
    at = _layer(run, network, how) if METHODS[method].works_at == "layer" else None
    if at is None and layer is not None:
        raise RequestError(f"{method} explains the input itself: leave out --layer")
    names = [str(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    maker = _Maker(
        run, network, how, at, background, randomised(network) if check else None,
        None if mask is None else Path(mask),
    )  # fmt: skip
    yield from _explanations(maker, names, stdin, max_pixels or run.record.request["max_pixels"])


def _explanations(
    maker: "_Maker", names: list[str], stdin: Iterable[str] | None, max_pixels: int
) -> Iterator[PictureExplanation]:
    problems: deque[Skipped] = deque()

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    if maker.run.of_trials:
        pictures = decoded_trials(maker.run, names)
    else:
        pictures = decoded(list_pictures(names, report, stdin), maker.run, max_pixels)
    while group := tuple(islice(pictures, BATCH)):
        yield from (_failed(problems.popleft()) for _ in range(len(problems)))
        yield from maker.made(group)
    yield from (_failed(problem) for problem in problems)


def _failed(skipped: Skipped) -> PictureExplanation:
    return PictureExplanation(skipped.path, error=f"{skipped.path}: {skipped.reason}")


@dataclass(frozen=True)
class _Request:
    method: str
    layer: str | None
    output: int | None
    versus: int | None
    device: str


def _request(
    run: Run,
    method: str,
    layer: str | None,
    target_class: str | None,
    versus: str | None,
    device: str | None,
) -> _Request:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if versus is not None and method == "hirescam":
        method = "finer-cam"  # which is what it is called then
    if versus is not None and versus == target_class:
        raise RequestError(f"'{versus}' against itself explains nothing; name another --versus")
    return _Request(
        method,
        layer,
        _number_of(run, target_class),
        _number_of(run, versus),
        serving_compute(run.record.compute, device).device,
    )


def refuse_dense(run: Run) -> None:
    """Raises `RequestError` for a run whose answers say what is where: there is no one answer."""
    if run.record.task in ("segment", "detect"):
        raise RequestError(
            f"{run.folder}: answers for each place of a picture, and explaining one of them is not "
            "there yet; run.trace(picture) shows every value behind each pixel's answer"
        )


def _number_of(run: Run, name: str | None) -> int | None:
    if name is None:
        return None
    if not run.record.classes:
        raise RequestError(f"{run.folder}: answers with a number, it has no class '{name}'")
    if name not in run.record.classes:
        raise unknown_name("class", name, run.record.classes)
    return run.record.classes.index(name)


def _layer(run: Run, network: nn.Module, how: _Request) -> MapLayer:
    pixel_format = run.pixel_format
    example = torch.zeros(1, pixel_format.channels, *pixel_format.size, device=how.device)
    return map_layer(network, example, how.layer)


@dataclass(frozen=True)
class _Maker:
    """Makes the maps of a batch of decoded pictures."""

    run: Run
    network: nn.Module
    how: _Request
    layer: MapLayer | None
    background: Background | None
    forgetful: nn.Module | None  # None: no checks
    masks: Path | None

    def made(
        self, group: tuple[tuple[str, np.ndarray | VitreousError], ...]
    ) -> Iterator[PictureExplanation]:
        """One explanation for each picture, bad ones included, in their order."""
        good = [(name, pixels) for name, pixels in group if not isinstance(pixels, VitreousError)]
        made: Iterator[PictureExplanation] = iter(())
        if good:
            made = self._good([name for name, _ in good], np.stack([each for _, each in good]))
        for name, pixels in group:
            if isinstance(pixels, VitreousError):
                yield PictureExplanation(name, error=str(pixels))
            else:
                yield next(made)

    def _good(self, names: list[str], pixels: np.ndarray) -> Iterator[PictureExplanation]:
        inputs = to_network_input(torch.from_numpy(pixels), self.run.scaling).to(self.how.device)
        with evaluating(self.network):
            outputs = self.network(inputs)
        answers = self.run.task.answers(outputs.float().cpu(), self.run.temperature).double()
        targets = self._targets(outputs)
        maps = self._maps(inputs, targets, self.how.method)
        for row, name in enumerate(names):
            one = inputs[row : row + 1]
            others, check = (), None
            try:
                if self.forgetful is not None:
                    others = tuple(
                        self._maps(one, targets[row : row + 1], method)[0]
                        for method in self._other_methods()
                    )
                    check = self._check(one, maps[row], others, name)
            except VitreousError as error:  # a mask that cannot be read
                yield PictureExplanation(name, error=str(error))
                continue
            yield PictureExplanation(
                sample_id=name,
                picture=pixels[row],
                predicted=self._answer(answers[row].numpy()),
                confidence=None if self._a_number else float(answers[row].max()),
                explained=self._class(targets[row].output),
                versus=self._class(targets[row].versus),
                map=maps[row],
                others=others,
                check=check,
            )

    @property
    def _a_number(self) -> bool:
        return self.run.task.name == "regress"

    def _class(self, number: int | None) -> str | None:
        if number is None:
            return None
        return "value" if self._a_number else self.run.record.classes[number]

    def _answer(self, answer: np.ndarray) -> str | float:
        if self._a_number:
            return float(answer[0])
        return self.run.record.classes[int(answer.argmax())]

    def _targets(self, outputs: torch.Tensor) -> list[Target]:
        return [_target(row, self.how) for row in outputs]

    def _maps(self, inputs: torch.Tensor, targets: list[Target], method: str) -> list[SignedMap]:
        at_layer = METHODS[method].works_at == "layer"
        return attribute(
            self.network,
            inputs,
            targets,
            method,
            layer=self.layer if at_layer else None,
            background=self.background,
            seed=self.run.record.seed,
            patch=covered_patch(self.run),
        )

    def _other_methods(self) -> list[str]:
        known = ["occlusion", *(["integrated-gradients"] if has_captum() else [])]
        return [method for method in known if method != self.how.method]

    def _check(
        self, one: torch.Tensor, made: SignedMap, others: tuple[SignedMap, ...], name: str
    ) -> Faithfulness:
        return check_map(
            self.network,
            one,
            made,
            background=self.background,
            layer=self.layer,
            mask=None if self.masks is None else self._mask(name),
            others=others,
            forgetful=self.forgetful,
            as_probability=self.run.task.name == "classify",
            temperature=self.run.temperature,
            seed=self.run.record.seed,
        )

    def _mask(self, name: str) -> np.ndarray:
        path = _mask_file(self.masks, Path(name))  # type: ignore
        limit = self.run.record.request["max_pixels"]
        pixels = match_channels(read_picture(path, str(path), None, limit).pixels, 1)
        mask = letterbox(pixels, self.run.pixel_format.size, fill=0)[..., 0] > 127
        if not mask.any():
            raise DataError(f"{path}: marks nothing (no pixel is brighter than 127)")
        return mask


def _target(outputs: torch.Tensor, how: _Request) -> Target:
    """What is explained of one sample: what was asked for, else its largest output.

    Where it is weighed against what would itself be the answer, the next largest is explained.
    """
    order = [int(each) for each in outputs.argsort(descending=True)]
    asked = how.output
    if asked is None:
        asked = next((each for each in order if each != how.versus), order[0])
    versus = how.versus
    if versus is None and METHODS[how.method].needs_versus:
        versus = next((each for each in order if each != asked), None)
    return Target(asked, versus)


def _mask_file(masks: Path, picture: Path) -> Path:
    """The mask of a picture: the file given, or the one of its name in the folder given."""
    if not masks.is_dir():
        return masks
    for suffix in (picture.suffix, *sorted(PICTURE_SUFFIXES)):
        path = masks / f"{picture.stem}{suffix}"
        if path.is_file():
            return path
    raise DataError(f"{masks}: has no mask for {picture.name}; name it {picture.stem}.png")
