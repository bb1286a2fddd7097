"""From a folder of recordings, or a file, to a data set of trials."""

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

from vitreous.data.listing import is_picture_name, walk
from vitreous.data.recordings.assemble import Piece, as_source
from vitreous.data.recordings.containers import container_files, read_container
from vitreous.data.recordings.formats import recording_suffix
from vitreous.data.recordings.given import pieces_of_containers
from vitreous.data.recordings.pieces import read_piece
from vitreous.data.recordings.places import find_recordings
from vitreous.data.recordings.planning import make_plan, reason_of
from vitreous.data.recordings.settings import RecordingSettings
from vitreous.data.recordings.trials import EVENTS, PARTICIPANTS
from vitreous.data.samples import Skipped, Source
from vitreous.errors import DataError, RequestError, VitreousError

Progress = Callable[[int, int], None]

REMEDIES = {
    " out with --only": " out",
    "use a higher lower bound in --band, or none: --band none": (
        "give recordings as long as those that the run was trained on, or train with --band none"
    ),
    "leave it out: channels are scaled by the training trials": "train without it",
    " s only; leave it out": " s only; train without it",
    "which --window is not within": "which the run's window is not within",
}
"""What is advised by flags of `train`, and what can be done where a run is there already."""

LOOKED_AT = 1000  # files of a folder, to see whether it holds recordings


def holds_recordings(path: Path, sampling_rate_hz: float | None = None) -> bool:
    """Whether there are recordings, or files of trials; in a folder more of them than pictures.

    A `sampling_rate_hz` that the user says is a word for trials where arrays could be pictures.
    """
    path = Path(path)
    if path.is_file() or recording_suffix(path) == ".mff":
        return recording_suffix(path) is not None or bool(container_files(path, sampling_rate_hz))
    if not path.is_dir():
        return False
    if container_files(path, sampling_rate_hz):
        return True
    first = [found.path for found in islice(walk(path, lambda _: None), LOOKED_AT)]
    recordings = sum(bool(recording_suffix(name)) or ".mff/" in name.lower() for name in first)
    return recordings > sum(is_picture_name(name) for name in first)


def read_recordings(
    path: Path, settings: RecordingSettings, on_progress: Progress | None = None
) -> Source:
    """The trials at a path (a file, a folder, a BIDS folder) as a `Source` that holds them.

    Raises `DataError` where nothing can be read or learned from, and `RequestError` for settings
    that do not fit. What cannot be used is in `Source.skipped` with its reason.
    """
    path = Path(path)
    if settings.for_training:
        return _read(path, settings, on_progress)
    try:
        source = _read(path, settings, on_progress)
    except VitreousError as error:
        raise type(error)(_of_a_run(str(error))) from None
    skipped = tuple(replace(item, reason=_of_a_run(item.reason)) for item in source.skipped)
    return replace(source, skipped=skipped)


def _of_a_run(words: str) -> str:
    """The sentence without the flags of `train`, where a run is there already."""
    for of_training, instead in REMEDIES.items():
        words = words.replace(of_training, instead)
    return words


def _read(path: Path, settings: RecordingSettings, on_progress: Progress | None) -> Source:
    files = container_files(path, settings.sampling_rate_hz)
    root = path if path.is_dir() and recording_suffix(path) != ".mff" else path.parent
    if files:
        containers = [part for file in files for part in read_container(file, root)]
        pieces, skipped, common, window_s = pieces_of_containers(containers, settings, path)
        return as_source(
            root, files, pieces, skipped, common, settings, window_s=window_s
        )  # fmt: skip
    places, skipped = find_recordings(path, settings)
    if not places:
        raise DataError(f"{path}: no recording is there; check the path")
    plan, places, unread = make_plan(root, places, settings)
    pieces: list[Piece] = []
    skipped = [*skipped, *unread]
    for done, place in enumerate(places, start=1):
        try:
            pieces.append(read_piece(place, plan, skipped))
        except VitreousError as error:
            of_all = settings.for_training and isinstance(error, RequestError)
            if of_all or len(places) == 1:
                raise
            skipped.append(Skipped(place.path, reason_of(error, str(root / place.path), root)))
        if on_progress:
            on_progress(done, len(places))
    common = plan.selection
    common = replace(common, notes=(*common.notes, *plan.notes))
    files = [root / place.path for place in places]
    return as_source(
        root, files, pieces, skipped, common, settings, PARTICIPANTS if settings.label else EVENTS,
        plan.window_s,
    )  # fmt: skip
