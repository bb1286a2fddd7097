"""Maps of a batch of decoded pictures and their checks, whatever the pictures are answered with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vitreous.data.letterbox import letterbox, match_channels
from vitreous.data.listing import PICTURE_SUFFIXES
from vitreous.data.pictures import read_picture
from vitreous.data.transforms import to_network_input
from vitreous.errors import DataError, VitreousError
from vitreous.insight.attribution import METHODS, AtLayer, SignedMap, Target, attribute
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.faithfulness import check_map
from vitreous.insight.faithfulness_scores import Faithfulness
from vitreous.insight.fills import Background
from vitreous.networks.modes import evaluating
from vitreous.runs.explain_trials import covered_patch
from vitreous.runs.run import Run

Shares = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Place:
    """Where in a picture the answer stands that is explained."""

    words: str
    facts: dict[str, Any]  # for JSON
    mark: tuple[float, float, float, float]  # left, top, right, bottom in the picture as shown
    voxel: tuple[int, int, int] | None = None  # of a scan: slice, row and column of what is shown


@dataclass(frozen=True)
class PictureExplanation:
    """The map of one picture's answer and its checks, or why there is none."""

    sample_id: str  # the path as it was given
    picture: np.ndarray | None = None  # uint8 (channels, height, width); trials float32
    predicted: str | float | None = None  # of this one view, in float32
    confidence: float | None = None  # calibrated
    explained: str | None = None  # the class that the map is of; "value" of a regression
    versus: str | None = None
    map: SignedMap | None = None
    others: tuple[SignedMap, ...] = ()  # by other methods, to compare with
    check: Faithfulness | None = None
    place: Place | None = None  # of a picture with many answers: the one that is explained
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
            "place": None if self.place is None else self.place.facts,
            "map": self.map.to_json(with_values),
            "check": None if self.check is None else self.check.to_json(),
        }


@dataclass(frozen=True)
class Request:
    """How answers are explained."""

    method: str
    layer: str | None
    output: int | None
    versus: int | None
    device: str


@dataclass(frozen=True)
class Maker:
    """Makes the maps of a batch of decoded pictures."""

    run: Run
    network: nn.Module
    how: Request
    layer: AtLayer | None
    background: Background | None
    forgetful: nn.Module | None  # None: no checks
    masks: Path | None
    shares: Shares  # outputs as calibrated probabilities, or numbers

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
        answers = self.shares(outputs)
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
            as_probability=self.run.task.name in ("classify", "segment"),
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


def _target(outputs: torch.Tensor, how: Request) -> Target:
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
