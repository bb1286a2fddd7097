"""Why this answer: maps of what speaks for it, and the checks of whether they are true."""

from collections import OrderedDict
from functools import cached_property
from threading import Lock

import numpy as np
import torch

from vitreous.data.listing import printable
from vitreous.data.transforms import to_network_input
from vitreous.errors import RequestError, unknown_name
from vitreous.insight.attribution import (
    METHODS,
    MapLayer,
    SignedMap,
    Target,
    attribute,
)
from vitreous.insight.attribution.pixels import has_captum
from vitreous.insight.controls import CONTROLS
from vitreous.insight.faithfulness import check_map
from vitreous.insight.faithfulness_scores import Faithfulness
from vitreous.insight.fills import Background
from vitreous.insight.randomise import randomised
from vitreous.runs.explain_trials import covered_patch, usual_method
from vitreous.runs.training_data import background_of
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.pack import Pack

KEPT = 64  # maps and checks

Asked = tuple[str, str, str, str, str]
"""Sample, method, class, the class it is weighed against, layer; empty for what is usual."""


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
            layers=[layer.name for layer in self.explorer.map_layers],
        )

    def attribution(self, asked: Asked) -> schemas.Attribution:
        """What a map is, and what has to be said of it; its values are `pack`'s."""
        found = self.map(asked)
        return schemas.Attribution(
            method=found.method,
            layer=found.layer,
            predicted=printable(str(self.explorer.answer(asked[0]).predicted)),
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
        """A map's values: block "map", float32 (height, width)."""
        pack = Pack()
        pack.add_numbers("map", self.map(asked).values)
        return pack

    def map(self, asked: Asked) -> SignedMap:
        """The map that was asked for. Raises `RequestError` for an unknown method, class, layer."""
        sample, method, *classes, layer = asked
        method = method or usual_method(self.explorer.run)
        asked = (sample, method, *classes, layer)  # type: ignore[assignment]
        with self._lock:
            if asked not in self._maps:
                self._maps[asked] = self._made(sample, method, self._target(asked), layer)
                self._forget(self._maps)
            return self._maps[asked]

    def check(self, asked: Asked) -> schemas.AttributionCheck:
        """The checks of a map: some hundred passes of the network."""
        one = self.map(asked)
        with self._lock:
            if asked not in self._checks:
                self._checks[asked] = check_map(
                    self.explorer.run.network,
                    self._inputs(asked[0]),
                    one,
                    background=self.background,
                    layer=self._layer(one.layer or "") if one.layer else None,
                    others=tuple(self._others(asked[0], one)),
                    forgetful=self.forgetful,
                    as_probability=self.explorer.run.task.name == "classify",
                    seed=self.explorer.run.record.seed,
                )
                self._forget(self._checks)
            return _shown(self._checks[asked])

    @cached_property
    def background(self) -> Background | None:
        """Some training pictures; None where they are gone."""
        return background_of(self.explorer.run)

    @cached_property
    def forgetful(self):
        """The network with its weights shuffled."""
        return randomised(self.explorer.run.network)

    def _missing(self, method: str) -> str | None:
        if METHODS[method].needs_captum and not has_captum():
            return "pip install 'vitreous[insight]'"
        if METHODS[method].needs_versus and len(self.explorer.run.record.classes) < 2:
            return "needs two classes"
        return None

    def _target(self, asked: Asked) -> Target:
        """What is explained: the class asked for, else the plain pass's answer."""
        sample, method, explained, versus, _ = asked
        trace = self.explorer.trace(sample)
        outputs = trace.array(self.explorer.graph.outputs[0])
        order = [int(output) for output in np.argsort(-outputs, kind="stable")]
        against = self._number(versus) if versus else None
        own = self._number(explained) if explained else next(o for o in order if o != against)
        if against is None and METHODS.get(method) and METHODS[method].needs_versus:
            against = next((output for output in order if output != own), None)
        if against == own:
            raise RequestError(f"'{versus}' against itself explains nothing; choose another class")
        return Target(own, against)

    def _made(self, sample: str, method: str, target: Target, layer: str) -> SignedMap:
        if method not in METHODS:
            raise unknown_name("method", method, METHODS)
        at_layer = METHODS[method].works_at == "layer"
        (made,) = attribute(
            self.explorer.run.network,
            self._inputs(sample),
            [target],
            method,
            layer=self._layer(layer) if at_layer else None,
            background=self.background,
            seed=self.explorer.run.record.seed,
            patch=covered_patch(self.explorer.run),
        )
        return made

    def _others(self, sample: str, one: SignedMap) -> list[SignedMap]:
        """The same answer by other methods, to see whether they agree."""
        known = ["occlusion", *(["integrated-gradients"] if has_captum() else [])]
        return [
            self._made(sample, method, one.target, "") for method in known if method != one.method
        ]

    def _layer(self, name: str) -> MapLayer:
        if not name:
            return self.explorer.map_layers[-1]
        for layer in self.explorer.map_layers:
            if layer.name == name:
                return layer
        raise unknown_name("layer", name, [layer.name for layer in self.explorer.map_layers])

    def _inputs(self, sample: str) -> torch.Tensor:
        pixels = self.explorer.samples.pixels(sample)
        return to_network_input(torch.from_numpy(pixels[None].copy()), self.explorer.run.scaling)

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
