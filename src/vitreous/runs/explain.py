"""`explain`: what in a picture speaks for its answer, and whether the map that says so is true."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import torch
from torch import nn

from vitreous.data.listing import list_pictures
from vitreous.data.samples import Skipped
from vitreous.errors import RequestError, VitreousError, unknown_name
from vitreous.insight.attribution import METHODS, MapLayer, map_layer
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.runs.explain_places import (
    AskedPlace,
    PlacedNetworks,
    PlacedSample,
    asked_place,
    background_at,
    only_the_picture,
    placed_samples,
    shares_of,
)
from vitreous.runs.explain_scans import placed_scans
from vitreous.runs.explain_trials import decoded_trials, usual_method
from vitreous.runs.explaining import Maker, PictureExplanation, Place, Request
from vitreous.runs.predict import decoded
from vitreous.runs.run import Run
from vitreous.runs.talk import Talk
from vitreous.runs.training_data import background_of
from vitreous.runs.whole_scans import seen_scans
from vitreous.training.devices import serving_compute

__all__ = ["PictureExplanation", "explain"]

BATCH = 16


def explain(
    run: Run,
    inputs: str | Path | Iterable[str | Path],
    method: str | None = None,
    *,
    layer: str | None = None,
    target_class: str | None = None,
    versus: str | None = None,
    mask: str | Path | None = None,
    pixel: str | Sequence[int] | None = None,
    box: int | None = None,
    voxel: str | Sequence[int] | None = None,
    check: bool = True,
    background: Background | None = None,
    device: str | None = None,
    stdin: Iterable[str] | None = None,
    max_pixels: int | None = None,
    talk: Talk | None = None,
) -> Iterator[PictureExplanation]:
    """Maps for files, folders (all pictures below) and globs, in their order, one after the other.

    Of a run on recordings the inputs are recordings, all trials of each, or one: `FILE#SECONDS`.
    Without a method it is HiResCAM for pictures and scans, and for trials DeepLIFT.

    Explained is the answer to one view of the picture, as the network sees it, in float32: where a
    run averages views, or serves in bfloat16, that is not quite the number that `predict` prints.
    `target_class` is what to explain (by default what the network answers), `versus` the class
    it is weighed against, `mask` a picture (or a folder of them, named alike) that is white where
    the cause lies. Of a run on masks `pixel` is the one whose answer is explained, "X,Y" in the
    picture's own pixels; of a detector `box` counts the picture's boxes from 1, the surest, which
    is the usual one. Of a run on masks of scans it is the `voxel` "X,Y,Z", counted from 0 to the
    patient's right, front and head in the scan's own voxels. What cannot be read is an explanation
    whose `error` says why.

    Raises `RequestError` for an unknown method, layer or class, a place that is missing or does not
    fit the run's answers, and where Captum is missing.
    """
    place = asked_place(run, pixel, box, voxel)
    if mask is not None and (run.of_trials or run.of_scans or place is not None):
        what = "recordings" if run.of_trials else "scans" if run.of_scans else "what is where"
        raise RequestError(f"--mask: marks the cause of a picture's one answer; {run.folder} is of "
                           f"{what}")  # fmt: skip
    method = method or usual_method(run)
    how = _request(run, method, layer, target_class, versus, device)
    network = run.network.to(how.device)
    told = talk or Talk(quiet=True)
    if background is None:
        background = background_of(run, told)
    if METHODS[method].needs_background and background is None:
        raise RequestError(f"{method} needs the run's training data, which are not at hand")
    at_layer = METHODS[method].works_at == "layer"
    if not at_layer and layer is not None:
        raise RequestError(f"{method} explains the input itself: leave out --layer")
    at = _layer(run, network, how) if at_layer and place is None else None
    names = [str(item) for item in ([inputs] if isinstance(inputs, str | Path) else inputs)]
    maker = Maker(
        run, network, how, at, background, randomised(network) if check else None,
        None if mask is None else Path(mask), shares_of(run),
    )  # fmt: skip
    limit = max_pixels or run.record.request["max_pixels"]
    if place is None:
        yield from _explanations(maker, names, stdin, limit)
    else:
        yield from _at_places(maker, names, stdin, limit, place, at_layer)


def _explanations(
    maker: Maker, names: list[str], stdin: Iterable[str] | None, max_pixels: int
) -> Iterator[PictureExplanation]:
    problems: deque[Skipped] = deque()

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    if maker.run.of_trials:
        pictures = decoded_trials(maker.run, names)
    elif maker.run.of_scans:
        pictures = seen_scans(maker.run, names)
    else:
        pictures = decoded(list_pictures(names, report, stdin), maker.run, max_pixels)
    while group := tuple(islice(pictures, BATCH)):
        yield from (_failed(problems.popleft()) for _ in range(len(problems)))
        yield from maker.made(group)
    yield from (_failed(problem) for problem in problems)


def _at_places(
    maker: Maker,
    names: list[str],
    stdin: Iterable[str] | None,
    max_pixels: int,
    place: AskedPlace,
    at_layer: bool,
) -> Iterator[PictureExplanation]:
    problems: deque[Skipped] = deque()

    def report(skipped: Skipped) -> None:
        if not skipped.harmless:
            problems.append(skipped)

    networks = PlacedNetworks(maker.network, maker.how.layer, at_layer, maker.forgetful)
    if maker.run.of_scans:
        samples = placed_scans(maker.run, names, place)
    else:
        paths = list_pictures(names, report, stdin)
        samples = placed_samples(maker.run, paths, place, max_pixels)
    for name, sample in samples:
        yield from (_failed(problems.popleft()) for _ in range(len(problems)))
        if isinstance(sample, VitreousError):
            yield PictureExplanation(name, error=str(sample))
        else:
            yield _at_place(maker, networks, sample)
    yield from (_failed(problem) for problem in problems)


def _at_place(maker: Maker, networks: PlacedNetworks, sample: PlacedSample) -> PictureExplanation:
    network, layer, forgetful = networks.at(sample)
    how = maker.how
    if how.output is None and sample.target != how.versus:
        how = replace(how, output=sample.target)
    background = background_at(maker.background, sample.pixels.shape[1:])
    maker = replace(
        maker, network=network, layer=layer, forgetful=forgetful, how=how, background=background
    )
    (one,) = maker.made(((sample.name, sample.pixels),))
    if one.map is None or one.picture is None:
        return one
    named = None if sample.target is None else maker.run.record.classes[sample.target]
    return replace(
        one,
        predicted=named or one.predicted,
        confidence=one.confidence if named is None else sample.confidence,
        picture=one.picture[(slice(None), *(slice(side) for side in sample.shown))],
        map=only_the_picture(one.map, sample.shown),
        others=tuple(only_the_picture(each, sample.shown) for each in one.others),
        place=Place(sample.words, sample.facts, sample.mark, sample.voxel),
    )


def _failed(skipped: Skipped) -> PictureExplanation:
    return PictureExplanation(skipped.path, error=f"{skipped.path}: {skipped.reason}")


def _request(
    run: Run,
    method: str,
    layer: str | None,
    target_class: str | None,
    versus: str | None,
    device: str | None,
) -> Request:
    if method not in METHODS:
        raise unknown_name("method", method, METHODS)
    if versus is not None and method == "hirescam":
        method = "finer-cam"  # which is what it is called then
    if versus is not None and versus == target_class:
        raise RequestError(f"'{versus}' against itself explains nothing; name another --versus")
    return Request(
        method,
        layer,
        _number_of(run, target_class),
        _number_of(run, versus),
        serving_compute(run.record.compute, device).device,
    )


def _number_of(run: Run, name: str | None) -> int | None:
    if name is None:
        return None
    if not run.record.classes:
        raise RequestError(f"{run.folder}: answers with a number, it has no class '{name}'")
    if name not in run.record.classes:
        raise unknown_name("class", name, run.record.classes)
    return run.record.classes.index(name)


def _layer(run: Run, network: nn.Module, how: Request) -> MapLayer:
    example = torch.zeros(1, *run.input_shape, device=how.device)
    return map_layer(network, example, how.layer)
