"""Where a run goes: a new folder, or the one in which the same run was begun before."""

import itertools
import re
from pathlib import Path

from vitreous.data.samples import Source
from vitreous.errors import RequestError
from vitreous.runs.record import RunRecord
from vitreous.runs.request import TrainRequest
from vitreous.training.processes import Processes


def run_folder(
    out: str | Path | None, data: Path | Source, request: TrainRequest, processes: Processes
) -> tuple[Path, bool]:
    """The folder of a run, made, and whether the run was begun in it before.

    Under torchrun the same command goes on where it was: its workers after a restart, and the
    whole command again with the same --out. The first process looks, for all.
    """
    folder, begun = processes.from_first("folder", lambda: _found(out, data, request, processes))
    return Path(folder), begun


def _found(
    out: str | Path | None, data: Path | Source, request: TrainRequest, processes: Processes
) -> tuple[str, bool]:
    remembered = processes.remembered("folder")  # from before a restart
    if remembered is not None:
        folder = Path(remembered)
        folder.mkdir(parents=True, exist_ok=True)
    elif processes.launch.address and out is not None and _asked_the_same(Path(out), data, request):
        folder = Path(out)
    else:
        folder = new_folder(out, data)
    processes.remember("folder", str(folder))
    return str(folder), (folder / "run.json").is_file()


def _asked_the_same(folder: Path, data: Path | Source, request: TrainRequest) -> bool:
    """Whether the folder holds an unfinished run of the same request on the same data."""
    if not (folder / "run.json").is_file():
        return False
    record = RunRecord.read(folder)
    same = record.request == request.to_json() and record.data.given == str(given_path(data))
    return same and record.status != "finished"


def given_path(data: Path | Source) -> Path:
    """The absolute path of data as they were given."""
    return (data.root if isinstance(data, Source) else data).absolute()


def is_study(folder: Path) -> bool:
    """Whether a folder holds a study: several runs that belong together."""
    return (folder / "study.json").is_file()


def new_folder(out: str | Path | None, data: Path | Source) -> Path:
    """An empty folder for a new run, made at once; an existing run is never overwritten."""
    if out is not None:
        folder = Path(out)
        if folder.is_dir() and any(folder.iterdir()):
            raise RequestError(
                f"{folder}: is not empty; choose another --out, or go on with --resume {folder}"
            )
        _make(folder, exist_ok=True)
        return folder
    root = data.root if isinstance(data, Source) else data
    stem = re.sub(r"[^\w.-]+", "-", root.resolve().stem) or "run"
    return next(
        folder
        for folder in (Path(f"runs/{stem}-{number}") for number in itertools.count(1))
        if _make(folder, exist_ok=False)
    )


def _make(folder: Path, exist_ok: bool) -> bool:
    """Make a folder, so that no other training takes it; False when it is there already."""
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except FileExistsError:
        if exist_ok:
            raise RequestError(f"{folder}: is a file; choose another --out") from None
        return False
    except OSError as error:
        raise RequestError(f"{folder}: cannot be made ({error.strerror}); choose --out") from None
    return True
