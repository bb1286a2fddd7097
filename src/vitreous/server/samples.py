"""A run's samples: which there are, what was answered, and their pictures, found by id alone."""

from collections import OrderedDict
from collections.abc import Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from threading import Lock

import numpy as np

from vitreous.data.listing import printable
from vitreous.data.pictures import decode
from vitreous.data.samples import Sample, Source
from vitreous.data.split_table import SplitRow, read_split
from vitreous.data.volumes.sheet import windowed
from vitreous.errors import RequestError, VitreousError
from vitreous.report.extras import picture_bytes
from vitreous.report.traces import traces_png
from vitreous.runs.aligning import as_trained
from vitreous.runs.evaluate import labelled_source
from vitreous.runs.predict import boxed, read_predictions
from vitreous.runs.run import Run
from vitreous.runs.scan_pieces import seen_piece
from vitreous.runs.trials import trials_of
from vitreous.server.schemas import SampleList, SampleRow

OWN_PREFIX = "own-"
MOST_UPLOADS = 16  # kept in memory; the oldest goes
MOST_SCANS = 8
LARGEST_UPLOAD_BYTES = 32 * 2**20
LARGEST_UPLOAD_PIXELS = 60_000_000


class NotFoundError(RequestError):
    """What was asked for is not there."""


class SampleBook:
    """Samples by id. No path ever comes from a request: an id is looked up, or it is unknown."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.rows = {row.sample_id: row for row in _rows(run)}
        self._uploads: OrderedDict[str, np.ndarray] = OrderedDict()
        self._scans: OrderedDict[str, np.ndarray] = OrderedDict()
        self._lock = Lock()

    def counts(self) -> dict[str, int]:
        """Samples of each part."""
        parts = [row.part for row in self.rows.values()]
        return {part: parts.count(part) for part in ("train", "val", "test") if part in parts}

    def row(self, sample_id: str) -> SampleRow:
        """What is known of a sample. Raises `NotFoundError`."""
        if sample_id in self._uploads:
            return SampleRow(
                sample_id=sample_id, part="own", truth="", predicted=None, confidence=None,
                wrong=None,
            )  # fmt: skip
        if sample_id not in self.rows:
            raise NotFoundError(f"there is no sample '{sample_id}' in this run")
        return self.rows[sample_id]

    def select(
        self,
        *,
        part: str | None,
        search: str,
        truth: str | None,
        predicted: str | None,
        order: str,
        first: int,
        count: int,
    ) -> SampleList:
        """Rows that fit; in the order "listed", or "wrong": wrong answers, the surest first."""
        wanted = search.casefold()
        found = [
            row
            for row in self.rows.values()
            if (part is None or row.part == part)
            and (truth is None or row.truth == truth)
            and (predicted is None or row.predicted == predicted)
            and (not wanted or wanted in f"{row.sample_id}\n{row.truth}".casefold())
            and (order != "wrong" or row.wrong)
        ]
        if order == "wrong":
            found.sort(key=lambda row: -self._wrongness(row))
        return SampleList(total=len(found), first=first, samples=found[first : first + count])

    def pixels(self, sample_id: str) -> np.ndarray:
        """The picture as the network's cache holds it: uint8 (channels, height, width).

        Of recordings the trial: float32 (1, channels, time). Of scans what is looked at of one, as
        its plan prepares it: float32 (channels, depth, height, width).

        Raises `NotFoundError`, and `DataError` for a file that cannot be read any more.
        """
        with self._lock:
            if sample_id in self._uploads:
                self._uploads.move_to_end(sample_id)
                return self._uploads[sample_id]
        self.row(sample_id)
        if self.source is None:
            raise NotFoundError(self.missing or "")
        sample = self._by_id.get(sample_id)
        if sample is None:
            raise NotFoundError(f"'{sample_id}' is no longer in {self.source.root}")
        if self.run.of_trials:
            return self._trials[self._rows[sample_id]]
        if self.run.of_scans:
            return self._scan(self.source, sample)
        return boxed(self.source.read(sample, max(self.run.pixel_format.size)), self.run)

    def _scan(self, source: Source, sample: Sample) -> np.ndarray:
        with self._lock:
            if sample.sample_id not in self._scans:
                self._scans[sample.sample_id] = seen_piece(self.run, source, sample)
                while len(self._scans) > MOST_SCANS:
                    self._scans.popitem(last=False)
            self._scans.move_to_end(sample.sample_id)
            return self._scans[sample.sample_id]

    def seen(self, sample_id: str) -> np.ndarray:
        """What the network takes of `pixels` in one pass: of some trials the piece in the middle.

        Raises as `pixels` does.
        """
        return self.run.views.one(self.pixels(sample_id))

    def picture(self, sample_id: str, box: Sequence[slice] = (), plane: int | None = None) -> bytes:
        """A sample, or a part of its rows and columns, as PNG; a trial as traces, without borders.

        Of a scan the slice `plane`, or the middle one. Raises as `pixels` does, and `RequestError`
        for a slice that is not there.
        """
        if self.run.of_scans:
            return picture_bytes(self.plane(sample_id, plane)[(slice(None), *box)])
        pixels = self.seen(sample_id)[(slice(None), *box)]
        return traces_png(pixels[0]) if self.run.of_trials else picture_bytes(pixels)

    def plane(self, sample_id: str, number: int | None = None) -> np.ndarray:
        """A scan's slice as a picture, uint8 (1, height, width); without a number the middle one.

        Of several channels the first. Raises as `pixels` does, and `RequestError` for a slice that
        is not there.
        """
        scan = self.seen(sample_id)[0]
        place = len(scan) // 2 if number is None else number
        if not 0 <= place < len(scan):
            raise RequestError(f"slice {place}: there are 0 to {len(scan) - 1}")
        return windowed(scan)[None, place]

    def add(self, content: bytes) -> SampleRow:
        """Keep a picture that was handed in. Raises `DataError` where it is none."""
        if self.run.of_trials or self.run.of_scans:
            kind = "recordings" if self.run.of_trials else "scans"
            raise RequestError(
                f"this run is of {kind}; `vitreous predict` and `vitreous explain` take others"
            )
        most = min(LARGEST_UPLOAD_PIXELS, self.run.record.request["max_pixels"])
        side = max(self.run.pixel_format.size)
        pixels = boxed(decode(content, "your picture", side, most), self.run)
        sample_id = OWN_PREFIX + sha256(content).hexdigest()[:12]
        with self._lock:
            self._uploads[sample_id] = pixels
            self._uploads.move_to_end(sample_id)
            while len(self._uploads) > MOST_UPLOADS:
                self._uploads.popitem(last=False)
        return self.row(sample_id)

    @cached_property
    def _opened(self) -> Source | str:
        """The data set that the run was trained on, or why it cannot be read."""
        try:
            return labelled_source(self.run, Path(self.run.record.data.given), None)
        except VitreousError as error:
            return f"the run's pictures cannot be shown: {error}"

    @property
    def source(self) -> Source | None:
        """The data set, recognised again."""
        return None if isinstance(self._opened, str) else self._opened

    @property
    def missing(self) -> str | None:
        """Why there are no pictures, where there are none."""
        return self._opened if isinstance(self._opened, str) else None

    @cached_property
    def _trials(self) -> np.ndarray:
        """All trials as the run's network knows them, float32 (n, 1, channels, time)."""
        assert self.source is not None
        trials = trials_of(self.source)
        return as_trained(self.run, trials.values[:, None], trials.facts)[0]

    @cached_property
    def _by_id(self) -> dict[str, Sample]:
        samples = self.source.samples if self.source else ()
        return {printable(sample.sample_id): sample for sample in samples}

    @cached_property
    def _rows(self) -> dict[str, int]:
        samples = self.source.samples if self.source else ()
        return {printable(sample.sample_id): row for row, sample in enumerate(samples)}

    def _wrongness(self, row: SampleRow) -> float:
        if self.run.record.task == "regress":
            return abs(float(row.predicted or 0) - float(row.truth or 0))
        return row.confidence or 0.0


def _rows(run: Run) -> list[SampleRow]:
    split = run.folder / "split.csv"
    listed = read_split(split) if split.is_file() else []
    path = run.folder / "predictions.csv"
    answers = []
    if path.is_file() and run.record.task not in ("segment", "detect"):  # rows of areas or boxes
        answers = read_predictions(path)
    by_id = {printable(row["sample_id"]): row for row in answers}
    return [
        _row(row, by_id.get(printable(row.sample_id)), run.record.task)
        for row in listed
        if row.split != "skipped"
    ]


def _row(row: SplitRow, answer: dict[str, str] | None, task: str) -> SampleRow:
    confidence = (answer or {}).get("confidence")
    return SampleRow(
        sample_id=printable(row.sample_id),
        part=row.split,  # type: ignore[arg-type]
        truth=printable(row.label),
        predicted=answer["predicted"] if answer else None,
        confidence=float(confidence) if confidence else None,
        wrong=_is_wrong(answer, task) if answer else None,
    )


def _is_wrong(answer: dict[str, str], task: str) -> bool:
    """Of a number: any difference; they are then shown in the order of its size."""
    if task == "regress":
        return float(answer["predicted"]) != float(answer["truth"])
    return answer["predicted"] != answer["truth"]
