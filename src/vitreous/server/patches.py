"""The patches of the run's own data that excite a channel most, looked for when asked to."""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property, partial
from threading import Lock, Thread

import numpy as np
from torch import nn

from vitreous.data.listing import printable
from vitreous.errors import DataError, RequestError, VitreousError
from vitreous.insight.attribution import MapLayer
from vitreous.insight.features import LayerPatches, PatchIndex
from vitreous.runs.features import index_best_patches, kept_patches
from vitreous.server import schemas
from vitreous.server.explorer import Explorer
from vitreous.server.samples import NotFoundError

MOST_SAMPLES = 10_000  # that are looked through; more take minutes and change little


class Patches:
    """Best patches: kept in the run folder, or looked for in one pass, in a thread of its own."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer
        self.done = self.total = 0
        self.problem: str | None = None
        self._thread: Thread | None = None
        self._lock = Lock()

    def state(self) -> schemas.PatchIndexing:
        """Whether they are there, and how far the looking is."""
        ready = self._index is not None
        return schemas.PatchIndexing(
            ready=ready,
            running=self._running,
            done=self.done,
            total=self.total,
            problem=self.problem,
            layers=[
                node
                for node, name in self._names.items()
                if self._index is None or name in self._index.layers
            ],
        )

    def start(self) -> schemas.PatchIndexing:
        """Look for them, unless they are there or being looked for."""
        if not self._names:
            raise RequestError("no layer of this run holds maps whose best patches are kept")
        with self._lock:
            if self._index is None and not self._running:
                self.done, self.total, self.problem = 0, 0, None
                # copied here, where no other request runs or captures it
                network = deepcopy(self.explorer.run.network)
                look = partial(self._look, network, self.explorer.map_layers)
                self._thread = Thread(target=look, daemon=True)
                self._thread.start()
        return self.state()

    def of(self, layer: str, channel: int) -> schemas.Patches:
        """The patches of a channel. Raises `NotFoundError` where they are not known."""
        if self._index is None:
            raise NotFoundError("the best patches were not looked for yet")
        name = self._names.get(layer)
        if name is None or name not in self._index.layers:
            raise NotFoundError(f"{layer}: holds no maps whose best patches are kept")
        found = self._index[name]
        return schemas.Patches(
            layer=layer,
            channel=channel,
            samples=self._index.samples,
            highest=self._shown(found, channel, True),
            lowest=self._shown(found, channel, False),
        )

    def crop(self, sample_id: str, box: list[int]) -> bytes:
        """A part of a sample's picture as PNG; `box`: first and last row, first and last column.

        Of a scan the slices come first, and the middle one of them is shown. Raises `RequestError`
        for a box that is not inside, and what `SampleBook.seen` raises.
        """
        space = self.explorer.samples.seen(sample_id).shape[1:]
        ends = list(zip(box[::2], box[1::2], strict=False))
        inside = all(0 <= first <= last < side for (first, last), side in zip(ends, space))  # noqa: B905
        if len(box) != 2 * len(space) or not inside:
            size = " x ".join(map(str, space))
            raise RequestError(f"box {box}: is not inside a picture of {size}")
        rows, columns = (slice(first, last + 1) for first, last in ends[-2:])
        middle = sum(ends[0]) // 2 if len(ends) == 3 else None
        return self.explorer.samples.picture(sample_id, (rows, columns), middle)

    def _shown(self, found: LayerPatches, channel: int, highest: bool) -> list[schemas.Patch]:
        assert self._index is not None
        known = found.patches(channel, highest)
        cells = (found.highest if highest else found.lowest)[2][channel]
        return [
            schemas.Patch(
                sample=printable(self._index.sample_ids[row]),
                value=value,
                at=[channel, *(int(axis) for axis in np.unravel_index(int(cell), found.cells))],
                box=[list(ends) for ends in box],
            )
            for (row, value, box), cell in zip(known, cells, strict=False)
            if box is not None
        ]

    @property
    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    @cached_property
    def _kept(self) -> list[PatchIndex | None]:
        try:
            return [kept_patches(self.explorer.run)]
        except DataError as error:  # broken: looked for again
            self.problem = str(error)
            return [None]

    @property
    def _index(self) -> PatchIndex | None:
        return self._kept[0]

    @cached_property
    def _names(self) -> dict[str, str]:
        """The kept name of each layer that holds maps.

        None of scans with masks: which piece of one is shown depends on its mask.
        """
        run = self.explorer.run
        if run.of_scans and run.record.task == "segment":
            return {}
        return {layer.node: layer.name for layer in self.explorer.map_layers}

    def _look(self, network: nn.Module, layers: Sequence[MapLayer]) -> None:
        """In a thread: with a copy of the network, for the explorer's own is used meanwhile."""
        try:
            self._kept[0] = index_best_patches(
                self.explorer.run,
                network=network,
                layers=layers,
                most_samples=MOST_SAMPLES,
                on_progress=self._progress,
            )
        except VitreousError as error:
            self.problem = str(error)

    def _progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
