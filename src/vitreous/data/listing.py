"""Finding files: what counts as a picture by its name, and walks that never hold a whole tree."""

import glob
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from heapq import nsmallest
from pathlib import Path

from vitreous.data.pictures import why_unreadable
from vitreous.data.samples import Skipped

PICTURE_SUFFIXES = frozenset(  # in lower case
    (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".tif", ".tiff", ".bmp", ".dib", ".gif")
)

SYSTEM_NAMES = frozenset(
    ["thumbs.db", "desktop.ini", "ehthumbs.db", "__macosx", "@eadir", "$recycle.bin", "icon\r"]
)

NAMES_AT_ONCE = 100_000  # a folder with more is read in several passes, in constant memory

Report = Callable[[Skipped], None]


@dataclass(frozen=True)
class Found:
    """One regular file of a walk."""

    path: str  # POSIX, relative to the folder that was walked
    name: str


def is_picture_name(name: str) -> bool:
    """Whether a file's name ends as a picture's does.

    >>> is_picture_name("IMG_0001.JPG"), is_picture_name("notes.txt")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES  # noqa: PTH122 (a hot path)


def is_hidden(name: str) -> bool:
    """Whether a name is one that systems and programs leave behind, not a user's picture.

    >>> is_hidden(".DS_Store"), is_hidden("Thumbs.db"), is_hidden("ant.jpg")
    (True, True, False)
    """
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def list_pictures(
    inputs: Iterable[str], report: Report | None = None, stdin: Iterable[str] | None = None
) -> Iterator[Path]:
    """The files that `predict` is asked about, one by one: nothing is collected.

    An input is a file (given as it is, whatever its name, also when it does not exist: reading it
    says so), a folder (all pictures below it, by their names' endings), a pattern such as
    `scans/**/*.png`, or `-` for a list on standard input, one path a line. The order is that of
    the inputs, and sorted within each folder. Hidden and system files in folders are left out.
    What cannot be listed (a folder without permission, a pattern that fits nothing) goes to
    `report`.
    """
    tell = report or (lambda _: None)
    for text in inputs:
        if text == "-":
            for line in sys.stdin if stdin is None else stdin:
                if path := line.rstrip("\r\n"):
                    yield from _expand(path, tell)
        else:
            yield from _expand(text, tell)


def walk(folder: Path, report: Report, prefix: str = "") -> Iterator[Found]:
    """All regular, visible files below a folder: sorted, files and folders mixed, lazily.

    Links to folders are followed once: a link to a folder that was already met is reported, not
    entered, so that no loop of links can hang. Hidden entries, broken links, pipes, unreadable
    folders and names that are no UTF-8 are reported, too.
    """
    visited: set[tuple[int, int]] = set()
    yield from _walk(folder, prefix, report, visited)


def sorted_entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """A folder's entries by name, at most `NAMES_AT_ONCE` held at a time. Raises `OSError`."""
    last = ""
    while True:
        with os.scandir(folder) as entries:
            later = (entry for entry in entries if entry.name > last)
            part = nsmallest(NAMES_AT_ONCE, later, key=lambda entry: entry.name)
        yield from part
        if len(part) < NAMES_AT_ONCE:
            return
        last = part[-1].name


def _walk(
    folder: Path, prefix: str, report: Report, visited: set[tuple[int, int]]
) -> Iterator[Found]:
    visited.add(_identity(folder))
    try:
        for entry in sorted_entries(folder):
            path = prefix + entry.name
            if problem := _problem(entry):
                report(problem(path))
            elif not entry.is_dir():
                yield Found(path, entry.name)
            elif entry.is_symlink() and _identity(Path(entry.path)) in visited:
                report(Skipped(path, "a link to a folder that was already read"))
            else:
                yield from _walk(Path(entry.path), f"{path}/", report, visited)
    except OSError as error:
        report(Skipped(prefix.rstrip("/") or str(folder), why_unreadable(error)))


def _problem(entry: os.DirEntry[str]) -> Callable[[str], Skipped] | None:
    """What makes an entry unfit to be listed, as a maker of the line that says so."""
    if is_hidden(entry.name):
        return lambda path: Skipped(path, "hidden or system file", harmless=True)
    if not entry.name.isascii() and not _is_utf8(entry.name):
        return lambda path: Skipped(printable(path), "its name is not valid UTF-8; rename it")
    if entry.is_dir() or entry.is_file():
        return None
    broken = entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110
    return lambda path: Skipped(path, "a broken link" if broken else "not a regular file")


def printable(text: str) -> str:
    """A path that can be written as UTF-8, with the odd bytes as escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _identity(folder: Path) -> tuple[int, int]:
    try:
        status = folder.stat()
    except OSError:
        return (-1, -1)
    return status.st_dev, status.st_ino


def _expand(text: str, report: Report) -> Iterator[Path]:
    path = Path(text)
    if path.is_dir():
        yield from _pictures_below(path, report)
    elif glob.has_magic(text) and not path.exists():
        yield from _matches(text, report)
    else:
        yield path


def _pictures_below(folder: Path, report: Report) -> Iterator[Path]:
    for found in walk(folder, lambda skipped: _report_below(folder, skipped, report)):
        if is_picture_name(found.name):
            yield folder / found.path


def _report_below(folder: Path, skipped: Skipped, report: Report) -> None:
    report(Skipped(printable(str(folder / skipped.path)), skipped.reason, skipped.harmless))


def _matches(pattern: str, report: Report) -> Iterator[Path]:
    """A pattern's files: the folders from `glob`, their entries from the sorted walk."""
    parent, name = os.path.split(pattern)
    found = False
    if name == "**":
        parent, name = pattern, "*"
    # `glob`, not `Path.glob`: the pattern may be absolute, and hidden folders stay out
    folders = glob.iglob(f"{parent}/", recursive=True) if parent else ["."]  # noqa: PTH207
    for folder in sorted(set(folders)):
        for path in _entries_like(Path(folder), name, report):
            found = True
            if path.is_dir():
                if "**" not in pattern:  # else its pictures come by themselves
                    yield from _pictures_below(path, report)
            elif path.is_file():
                yield path
    if not found:
        report(Skipped(pattern, "no file fits this pattern"))


def _entries_like(folder: Path, name: str, report: Report) -> Iterator[Path]:
    try:
        for entry in sorted_entries(folder):
            visible = name.startswith(".") or not is_hidden(entry.name)
            wanted = not name.endswith("*") or entry.is_dir() or is_picture_name(entry.name)
            if visible and wanted and fnmatch(entry.name, name):
                yield folder / entry.name
    except OSError as error:
        report(Skipped(str(folder), why_unreadable(error)))
