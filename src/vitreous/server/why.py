"""Why this answer: maps of what speaks for it, and the checks of whether they are true."""

from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
import torch
from torch import nn

from vitreous.data.listing import printable
from vitreous.errors import RequestError, unknown_name
from vitreous.insight.attribution import (
    METHODS,
    AtLayer,
    CellOf,
    OnePlace,
    SignedMap,
    Target,
    attribute,
    read_layers,
)
from vitreous.insight.attribution.one_place import READ
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.controls import CONTROLS
from vitreous.insight.faithfulness import check_map
from vitreous.insight.faithfulness_scores import Faithfulness
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.runs.explain_places import background_at
from vitreous.runs.explain_trials import covered_patch, usual_method
from vitreous.runs.training_data import background_of
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.pack import Pack
from vitreous.server.placed import Placed, is_placed, placed_at

KEPT = 64  # maps and checks

Asked = tuple[str, str, str, str, str, str]
"""Sample, method, class, the class it is weighed against, layer, place; empty for what is usual."""


class Why:
    """Maps of answers, made when asked for and kept; one at a time."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self._maps: OrderedDict[Asked, SignedMap] = OrderedDict()
        self._checks: OrderedDict[Asked, Faithfulness] = OrderedDict()
        self._lock = Lock()

    def methods(self) -> schemas.WhyMethods:
        """What can be asked: methods, classes to explain, and layers to look at."""
        return schemas.WhyMethods(
            methods=[
                schemas.WhyMethod(
                    name=name,
                    summary=method.summary,
                    at_layer=method.works_at == "layer",
                    needs_versus=method.needs_versus,
                    missing=self._missing(name),
                )
                for name, method in METHODS.items()
            ],
            usual=usual_method(self.explorer.run),
            layers=[
                *([READ] if self.placed else []),
                *(layer.name for layer in self.explorer.map_layers),
            ],
        )

    def attribution(self, asked: Asked) -> schemas.Attribution:
        """What a map is, and what has to be said of it; its values are `pack`'s."""
        found, place = self.map(asked), self._place(asked)
        return schemas.Attribution(
            method=found.method,
            layer=found.layer,
            place=None if place is None else place.words,
            mark=None if place is None else list(place.mark),
            slice=None if place is None else place.slice,
            predicted=self._predicted(asked, place),
            explained=self._name(found.target.output),
            versus=None if found.target.versus is None else self._name(found.target.versus),
            score=found.score,
            baseline=found.baseline,
            claimed=found.claimed,
            gap=found.gap,
            seconds=found.seconds,
            remarks=list(found.remarks),
        )

    def pack(self, asked: Asked) -> Pack:
        """A map's values: block "map", float32 (height, width), of scans (depth, height, width)."""
        pack = Pack()
        pack.add_numbers("map", self.map(asked).values)
        return pack

    def map(self, asked: Asked) -> SignedMap:
        """The map that was asked for. Raises `RequestError` for an unknown method, class, layer."""
        sample, method, *rest = asked
        asked = (sample, method or usual_method(self.explorer.run), *rest)  # type: ignore[assignment]
        with self._lock:
            if asked not in self._maps:
                self._maps[asked] = self._made(asked, self._target(asked))
                self._forget(self._maps)
            return self._maps[asked]

    def check(self, asked: Asked) -> schemas.AttributionCheck:
        """The checks of a map: some hundred passes of the network."""
        one = self.map(asked)
        with self._lock:
            if asked not in self._checks:
                place, run = self._place(asked), self.explorer.run
                self._checks[asked] = check_map(
                    _at(run.network, place),
                    self.explorer.inputs(asked[0]),
                    one,
                    background=self.background,
                    layer=self._layer(one.layer or "") if one.layer else None,
                    others=tuple(self._others(asked, one)),
                    forgetful=_at(self.forgetful, place),
                    as_probability=run.task.name in ("classify", "segment"),
                    temperature=run.temperature,
                    seed=run.record.seed,
                )
                self._forget(self._checks)
            return _shown(self._checks[asked])

    @cached_property
    def background(self) -> Background | None:
        """Some training pictures in the size that is looked at; None where they are gone."""
        return background_at(background_of(self.explorer.run), self.explorer.input_shape[1:])

    @cached_property
    def forgetful(self):
        """The network with its weights shuffled."""
        return randomised(self.explorer.run.network)

    @property
    def placed(self) -> bool:
        """Whether one of many answers is explained: that of a pixel or a box."""
        return is_placed(self.explorer.run)

    def _place(self, asked: Asked) -> Placed | None:
        return placed_at(self.explorer, asked[0], asked[5]) if self.placed else None

    def _outputs(self, sample: str, place: Placed | None) -> np.ndarray:
        """The plain pass's outputs, of many answers those of the place."""
        outputs = self.explorer.trace(sample).array(self.explorer.graph.outputs[0])
        if place is None:
            return outputs
        return place.place.read(torch.from_numpy(outputs)[None])[0].numpy()

    def _predicted(self, asked: Asked, place: Placed | None) -> str:
        if place is None:
            return printable(str(self.explorer.answer(asked[0]).predicted))
        own = place.target
        return self._name(int(self._outputs(asked[0], place).argmax()) if own is None else own)

    def _missing(self, method: str) -> str | None:
        if METHODS[method].needs_captum and not has_captum():
            return "pip install 'vitreous[insight]'"
        if METHODS[method].needs_versus and len(self.explorer.run.record.classes) < 2:
            return "needs two classes"
        return None

    def _target(self, asked: Asked) -> Target:
        """What is explained: the class asked for, else the plain pass's answer."""
        sample, method, explained, versus, _, _ = asked
        place = self._place(asked)
        outputs = self._outputs(sample, place)
        order = [int(output) for output in np.argsort(-outputs, kind="stable")]
        if place is not None and place.target is not None:  # a cell may answer with several classes
            order = [place.target, *(output for output in order if output != place.target)]
        against = self._number(versus) if versus else None
        own = self._number(explained) if explained else next(o for o in order if o != against)
        if against is None and METHODS.get(method) and METHODS[method].needs_versus:
            against = next((output for output in order if output != own), None)
        if against == own:
            raise RequestError(f"'{versus}' against itself explains nothing; choose another class")
        return Target(own, against)

    def _made(self, asked: Asked, target: Target) -> SignedMap:
        sample, method, _, _, layer, _ = asked
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        at_layer = METHODS[method].works_at == "layer"
        (made,) = attribute(
            _at(self.explorer.run.network, self._place(asked)),
            self.explorer.inputs(sample),
            [target],
            method,
            layer=self._layer(layer) if at_layer else None,
            background=self.background,
            seed=self.explorer.run.record.seed,
            patch=covered_patch(self.explorer.run),
        )
        return made

    def _others(self, asked: Asked, one: SignedMap) -> list[SignedMap]:
        """The same answer by other methods, to see whether they agree."""
        known = ["occlusion", *(["integrated-gradients"] if has_captum() else [])]
        return [
            self._made((asked[0], method, "", "", "", asked[5]), one.target)
            for method in known
            if method != one.method
        ]

    @cached_property
    def _all_read(self) -> AtLayer:
        """All maps that the head of a network with many answers reads."""
        example = torch.zeros(self.explorer.graph.input_shape)
        return read_layers(OnePlace(self.explorer.run.network, CellOf(0, 1)), example)

    def _layer(self, name: str) -> AtLayer:
        if self.placed and name in ("", READ):
            return self._all_read
        if not name:
            return self.explorer.map_layers[-1]
        for layer in self.explorer.map_layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in self.explorer.map_layers])

    def _number(self, name: str) -> int:
        names = [printable(each) for each in self.explorer.run.record.classes]
        if name not in names:
            raise unknown_name("class", name, names)
        return names.index(name)

    def _name(self, output: int) -> str:
        classes = self.explorer.run.record.classes
        return printable(classes[output]) if classes else "the number"

    @staticmethod
    def _forget(kept: OrderedDict) -> None:
        while len(kept) > KEPT:
            kept.popitem(last=False)


def _at(network: nn.Module, place: Placed | None) -> nn.Module:
    """The network, or what answers for one place as it does."""
    return network if place is None else OnePlace(network, place.place)


def _shown(found: Faithfulness) -> schemas.AttributionCheck:
    scores = {
        "this map": found.map,
        **{CONTROLS[name]: one for name, one in found.controls.items()},
    }
    return schemas.AttributionCheck(
        sentence=found.sentence,
        alarms=list(found.alarms),
        rows=[
            schemas.CheckRow(
                name=name,
                order=one.order,
                patches=one.patches,
                curves=[
                    schemas.CheckCurve(
                        fill=curve.fill,
                        deletion=list(curve.deletion),
                        insertion=list(curve.insertion),
                    )
                    for curve in one.curves
                ],
            )
            for name, one in scores.items()
        ],
        randomised=found.randomised,
        other_target=found.other_target,
        agreement=dict(found.agreement),
        forward_passes=found.forward_passes,
        seconds=found.seconds,
    )
