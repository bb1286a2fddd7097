"""Whose recording a file is, and when it was made: subject, session, run, from names as they are.

BIDS names (`sub-01_ses-2_task-rest_run-1_eeg.edf`) say it outright. Elsewhere a few habits are
known; `--group` with a regular expression says it for all others.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitreous.data.listing import walk
from vitreous.data.recordings.formats import PARTS, recording_suffix
from vitreous.data.recordings.settings import RecordingSettings
from vitreous.data.samples import Skipped, Split
from vitreous.data.split_names import first_split
from vitreous.errors import DataError, RequestError

ENTITY = re.compile(r"(?:^|[_/])(sub|ses|run|acq|split)-([a-zA-Z0-9]+)")
TASK = re.compile(r"(?:^|_)task-[a-zA-Z0-9]+")
HABITS = (
    # PhysioNet's motor imagery: S001R04
    re.compile(r"(?P<subject>S\d{3})(?P<run>R\d{2})"),
    # BCI competition IV 2a and 2b: A01T, B0103T
    re.compile(r"^(?P<subject>[AB]\d{2})(?P<session>\d{0,2}[TE])$"),
    re.compile(r"(?P<subject>(?:subject|subj|sub|patient|participant|vp)[-_ ]?\d+)", re.IGNORECASE),
    re.compile(r"^(?P<subject>[sS]\d{1,3})(?:[-_ ]|$)"),
)
"""Facts about published data sets and common names, tried on a file's stem in this order."""

ABOVE = 3  # folders between a recording and its data set's own: subject, session, kind


@dataclass(frozen=True)
class Place:
    """A recording file and what its path says."""

    path: str  # POSIX, relative to the data root
    subject: str | None = None
    session: str | None = None
    run: str | None = None
    split: Split | None = None


def find_recordings(root: Path, settings: RecordingSettings) -> tuple[list[Place], list[Skipped]]:
    """All recordings below a folder, or the one file, in the order of their paths; and the rest.

    Raises `RequestError` where `--only` fits no file, or `--group` not all.
    """
    if root.is_file() or recording_suffix(root) == ".mff":
        return [_place(root.name, settings, alone=True)], []
    skipped: list[Skipped] = []
    paths: dict[str, None] = {}
    for found in walk(root, skipped.append):
        whole = re.match(r"(.*?\.mff)/", found.path + "/", re.IGNORECASE)
        if whole:
            paths[whole[1]] = None
        elif recording_suffix(found.name):
            paths[found.path] = None
        elif not found.name.lower().endswith(PARTS):
            skipped.append(Skipped(found.path, "no recording", harmless=True))
    chosen, left_out = _only(list(paths), root, settings.only)
    skipped += [Skipped(path, "left out by --only", harmless=True) for path in left_out]
    several_folders = len({PurePosixPath(path).parent for path in chosen}) > 1
    return [_place(path, settings, folders=several_folders) for path in chosen], skipped


def _only(paths: list[str], root: Path, only: str | None) -> tuple[list[str], list[str]]:
    if only is None:
        return paths, []
    try:
        expression = re.compile(only)
    except re.error as error:
        raise RequestError(f"--only '{only}': is no regular expression ({error})") from None
    chosen = [path for path in paths if expression.search(path)]
    if not chosen:
        some = ", ".join(paths[:3])
        raise RequestError(
            f"--only '{only}': fits none of {len(paths)} recordings in {root} ({some}, ...)"
        )
    return chosen, [path for path in paths if path not in set(chosen)]


def _place(
    path: str, settings: RecordingSettings, alone: bool = False, folders: bool = False
) -> Place:
    entities = dict(reversed(ENTITY.findall(path)))  # the folder's word counts before the file's
    stem = PurePosixPath(path).name.split(".")[0]
    named = {key: value for key, value in _habit(stem).items() if value}
    parts = [part.lower() for part in PurePosixPath(path).parts]
    untold = TASK.sub("", stem)  # task-test is a task, and no part to test on
    words = [entities.get("acq", ""), *parts[:-1], *re.split(r"[-_. ]", untold)]
    subject = f"sub-{entities['sub']}" if "sub" in entities else named.get("subject")
    if settings.subject:
        subject = _by_pattern(settings.subject, path)
    elif subject is None and folders:
        subject = PurePosixPath(path).parts[0] if "/" in path else None
    elif subject is None and alone:
        subject = stem
    return Place(
        path=path,
        subject=subject,
        session=entities.get("ses") or named.get("session"),
        run=entities.get("run") or named.get("run") or stem,
        split=first_split(words),
    )


def _habit(stem: str) -> dict[str, str]:
    for habit in HABITS:
        if found := habit.search(stem):
            return found.groupdict()
    return {}


def _by_pattern(pattern: str, path: str) -> str:
    found = re.search(pattern, path)
    if found is None:
        raise RequestError(
            f"--group '{pattern}': does not fit {path}; it is searched in each recording's path"
        )
    return found[1]


def participants(root: Path, column: str, places: Sequence[Place]) -> dict[str, str]:
    """Subject of a recording -> the value in a column of participants.tsv.

    The table may leave `sub-` out, or zeros before a number, or write a number alone, where that
    can mean one subject only. Raises `DataError` where the table or the subject's column is
    missing, or it has none of the subjects, `RequestError` for a column that it does not have.
    """
    above = (root, *root.absolute().parents[:ABOVE])
    path = next((p / "participants.tsv" for p in above if (p / "participants.tsv").is_file()), None)
    if path is None:
        raise DataError(
            f"{root}: has no participants.tsv, in which --label {column} would be a column; "
            "write one: participant_id and the label, with tabs"
        )
    table = _participants_table(path, column)
    subjects = list(dict.fromkeys(place.subject for place in places if place.subject))
    if not subjects:
        raise DataError(
            f"{root}: the names of the recordings do not say whose they are ({places[0].path}), so "
            f"that no {column} of {path.name} is known of them; say it with --group REGEX"
        )
    rows = _rows_of_subjects(path, subjects, list(table))
    if not rows:
        raise DataError(
            f"{path}: has none of the subjects {_quoted(subjects)}, whose recordings are there: it "
            f"has {_quoted(list(table))}; name them alike, or say whose recordings they are with "
            "--group REGEX"
        )
    return {subject: table[row] for subject, row in rows.items()}


def _participants_table(path: Path, column: str) -> dict[str, str]:
    """participant_id, as it is written -> the value in a column."""
    heading, *lines = [line.split("\t") for line in read_text(path).splitlines() if line.strip()]
    heading = [cell.strip() for cell in heading]
    if "participant_id" not in heading:
        raise DataError(f"{path}: has no column participant_id (has {', '.join(heading)})")
    if column not in heading:
        raise RequestError(f"--label {column}: {path} has the columns {', '.join(heading)}")
    key, value = heading.index("participant_id"), heading.index(column)
    found: dict[str, str] = {}
    for number, line in enumerate(lines, start=2):
        if len(line) != len(heading):
            raise DataError(
                f"{path}: line {number} has {len(line)} cells for {len(heading)} columns; mend it"
            )
        name, label = line[key].strip(), line[value].strip()
        if found.setdefault(name, label) != label:
            raise DataError(
                f"{path}: line {number}: '{name}' is there twice, with the {column} "
                f"'{found[name]}' and '{label}'; mend it"
            )
    return found


SPELLINGS: tuple[Callable[[str], str], ...] = (
    lambda name: name,
    lambda name: name.removeprefix("sub-"),
    lambda name: name.removeprefix("sub-").lower(),
    lambda name: _without_zeros(name.removeprefix("sub-").lower()),
)
"""What two names of one subject have in common, the strictest first."""
NUMBERED = re.compile(r"[^\W\d_]*[-_ ]?(\d+)")  # sub-01, S001, subject_7


def _without_zeros(name: str) -> str:
    return re.sub(r"(?<!\d)0+(?=\d)", "", name)


def _rows_of_subjects(path: Path, subjects: list[str], rows: list[str]) -> dict[str, str]:
    """Subject -> its row. Raises `DataError` where a row may be of several, or they of it."""
    found: dict[str, str] = {}
    for spell in SPELLINGS:
        _match(
            path, found, {one: spell(one) for one in subjects}, {row: spell(row) for row in rows}
        )
    numbers = {
        one: _without_zeros(number[1]) for one in subjects if (number := NUMBERED.fullmatch(one))
    }
    alone = {row: _without_zeros(row) for row in rows if row.isdigit()}
    _match(path, found, numbers, alone)
    return found


def _match(
    path: Path, found: dict[str, str], subjects: dict[str, str], rows: dict[str, str]
) -> None:
    """Add the subjects and rows that are spelled alike and not matched yet to `found`."""
    taken = set(found.values())
    open_subjects = {one: name for one, name in subjects.items() if one not in found}
    open_rows = {row: name for row, name in rows.items() if row not in taken}
    for subject, name in open_subjects.items():
        fitting = [row for row, other in open_rows.items() if other == name]
        alike = [one for one, other in open_subjects.items() if other == name]
        if len(fitting) > 1 or (fitting and len(alike) > 1):
            raise DataError(
                f"{path}: its rows {_quoted(fitting)} could each be of {_quoted(alike)}, whose "
                "recordings are there; write the subjects' names in full there"
            )
        if fitting:
            found[subject] = fitting[0]


def _quoted(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"'{name}'" for name in names[:most]) + more


def read_text(path: Path) -> str:
    """A small text file. Raises `DataError` with the path."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not readable as UTF-8 text ({error})") from None
