"""The runs of a study trained side by side: processes of one thread each, on a processor.

A step on EEG is made of many small operations, which two threads do hardly faster than one; two
runs at a time share nothing (`benchmarks/eeg_together.py` has the figures). The first run is
trained alone and tells how long the others would take; where that is not worth starting processes,
they are trained as it was. Each process reads the data by itself and trains its share of the runs
that are not finished, into the study's folder, so that a study that is stopped goes on in whatever
way it was begun.
"""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO

import torch
from torch import nn

from vitreous.data.samples import Source
from vitreous.errors import DataError, VitreousError
from vitreous.runs.prepare import open_source
from vitreous.runs.request import TrainRequest
from vitreous.runs.study import Study, divided_data, is_finished, run_words, train_members
from vitreous.runs.talk import Talk
from vitreous.runs.trials import Divided
from vitreous.training.devices import choose_compute
from vitreous.training.processes import ALONE, Processes

MOST = 8  # processes: each holds the data
WORTH_SECONDS = 60.0  # of training left, before processes are started: each takes some 5 to begin
LOOK_EVERY_SECONDS = 0.5
END_SECONDS = 60.0  # for a process that was asked to end, and saves first
STOPPED = 130  # its exit status


def train_missing(
    study: Study,
    where: Path | Source,
    divided: Divided,
    request: TrainRequest,
    own: nn.Module | None,
    log: str | None,
    processes: Processes,
    talk: Talk,
    keep: Callable[[], None],
) -> None:
    """Every run that is not finished: one after the other, or together where that is worth it."""
    left = [name for row in missing(study) for name in row]
    parts = processes_for(where, request, own)

    def one_by_one(names: Sequence[str]) -> None:
        train_members(study, divided, request, own, log, processes, talk, names, keep)

    if parts == 1 or len(left) < 3:
        one_by_one(left)
        return
    started = time.monotonic()
    one_by_one(left[:1])
    if (time.monotonic() - started) * (len(left) - 1) < WORTH_SECONDS:
        one_by_one(left[1:])
    else:
        assert isinstance(where, Path)
        train_together(study, where, parts, log, talk, keep)


def processes_for(data: Path | Source, request: TrainRequest, own: object) -> int:
    """How many runs may be trained at a time: one a thread on a processor; one where none can be.

    The user's own module, and data that lie in memory, are not had in another process.
    """
    if own is not None or isinstance(data, Source):
        return 1
    if choose_compute(request.device, True).device != "cpu":
        return 1
    return min(torch.get_num_threads(), MOST)


def missing(study: Study) -> list[list[str]]:
    """The runs that are not finished, fold by fold."""
    rows = [
        [name for name in row if not is_finished(study.folder / name)]
        for row in study.record["members"]
    ]
    return [row for row in rows if row]


def share_of(rows: Sequence[Sequence[str]], part: int, parts: int) -> list[str]:
    """The runs of one process: whole folds where there are enough, for their baselines' sake.

    >>> share_of([["a0", "a1"], ["b0", "b1"], ["c0", "c1"]], 0, 2)
    ['a0', 'a1', 'c0', 'c1']
    >>> share_of([["a0", "a1", "a2"]], 1, 2)
    ['a1']
    """
    if len(rows) >= parts:
        return [name for row in rows[part::parts] for name in row]
    return [name for row in rows for name in row][part::parts]


def train_together(
    study: Study,
    data: Path,
    parts: int,
    log: str | None,
    talk: Talk,
    keep: Callable[[], None] = lambda: None,
) -> None:
    """Train what is missing in so many processes; each run is told, and kept, when it is done.

    Raises `VitreousError` with what a process said; when this one is interrupted or fails, the
    others save what they have and end.
    """
    rows = missing(study)
    parts = min(parts, sum(map(len, rows)))
    talk.say(f"{parts} runs are trained at a time from here on, each with one thread")
    shares = [share_of(rows, part, parts) for part in range(parts)]
    with tempfile.TemporaryFile() as said:
        started = [_started(study.folder, data, share, log, said) for share in shares]
        try:
            _watch(study, started, talk, keep)
        except _FailedError:
            _end(started)
            said.seek(0)
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise VitreousError(lines[-1] if lines else "a process of the study ended") from None
        finally:
            _end(started)


class _FailedError(Exception):
    """A process ended otherwise than it should."""


def _started(
    folder: Path, data: Path, names: Sequence[str], log: str | None, said: IO[bytes]
) -> subprocess.Popen:
    words = [str(folder), str(data), ",".join(names), log or ""]
    return subprocess.Popen(
        [sys.executable, "-m", "vitreous.runs.together", *words],
        stdin=subprocess.PIPE,  # its end tells the process that this one has ended
        stdout=subprocess.DEVNULL,
        stderr=said,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,  # Ctrl-C is for this process, which asks the others once
    )


def _watch(
    study: Study, started: list[subprocess.Popen], talk: Talk, keep: Callable[[], None]
) -> None:
    names = [name for row in study.record["members"] for name in row]
    told = {name for name in names if is_finished(study.folder / name)}
    began, before = time.monotonic(), len(told)
    while True:
        ended = [process.poll() for process in started]  # before the look, so that none is missed
        for name in names:
            if name not in told and is_finished(study.folder / name):
                told.add(name)
                keep()
                pace = (time.monotonic() - began) / (len(told) - before)
                left = pace * (len(names) - len(told))
                talk.say(f"{len(told)} of {len(names)}: {run_words(study, name)}, about "
                         f"{left / 60:.1f} min left")  # fmt: skip
        if any(status not in (None, 0) for status in ended):
            raise _FailedError
        if None not in ended:
            return
        time.sleep(LOOK_EVERY_SECONDS)


def _end(started: list[subprocess.Popen]) -> None:
    """Ask all to end, once, and wait for them."""
    for process in started:
        if process.stdin is not None and not process.stdin.closed:
            process.stdin.close()
    for process in started:
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_the_other() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns at the end
    os.kill(os.getpid(), signal.SIGTERM)


def _interrupted(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def main(words: Sequence[str]) -> int:
    """One of the processes: FOLDER DATA RUNS LOG."""
    folder, data, names, log = words
    signal.signal(signal.SIGTERM, _interrupted)  # while a run is trained, it is heard between steps
    torch.set_num_threads(1)
    quiet = Talk(quiet=True)
    try:
        threading.Thread(target=_end_with_the_other, daemon=True).start()
        study = Study.load(folder)
        sys.argv = shlex.split(study.record["command"])  # what its runs were made by
        request = TrainRequest.from_json(study.record["request"])
        divided = divided_data(open_source(Path(data), request, quiet), request, quiet)
        if divided.store.fingerprint != study.record["data"]["fingerprint"]:
            raise DataError(f"{data}: changed while the study was trained; start a new one")
        train_members(study, divided, request, None, log or None, ALONE, quiet, names.split(","))
    except VitreousError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
