"""The folders of the cache: made whole or not at all, cleaned of what was left behind."""

import errno
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vitreous.errors import DataError

ENTRY = "pixels-"
_PARTIAL = ".building-"
_RESERVE_BYTES = 64 * 1024**2  # left free on the disk
_FOREIGN_SECONDS = 24 * 3600  # a partial folder of another machine is left alone this long


def make(folder: Path) -> None:
    """Make the cache folder. Raises `DataError` where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"{folder}: the cache folder cannot be made ({error.strerror}); "
            f"name another in VITREOUS_CACHE"
        ) from None


@contextmanager
def building(entry: Path) -> Iterator[Path]:
    """A folder to fill; it takes `entry`'s name when the block ends well, and goes otherwise.

    Where another process was faster its entry stays, and ours goes: both hold the same.
    """
    owner = f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"
    partial = entry.with_name(f"{_PARTIAL}{owner}")
    try:
        with writing(entry.parent):
            partial.mkdir()
        yield partial
        with writing(entry.parent):
            for path in partial.iterdir():
                _synchronise(path)
            _rename_unless_there(partial, entry)
            _synchronise(entry.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around writing to the cache in `folder`: what fails becomes a `DataError` that says so."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{folder}: the cache cannot be written ({error.strerror}); "
            f"free space, or name another folder in VITREOUS_CACHE"
        ) from None


def allocate(path: Path, size: int) -> None:
    """Make a file of `size` zero bytes whose room on the disk is taken now.

    Without that, a disk that fills up later would end the process at a write to the mapped file.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            try:
                os.posix_fallocate(file.fileno(), 0, size)
            except OSError as error:
                if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                    raise  # else the file system only does not know how
        file.truncate(size)


def _rename_unless_there(partial: Path, entry: Path) -> None:
    try:
        partial.rename(entry)
    except OSError:
        if not entry.is_dir():
            raise


def _synchronise(path: Path) -> None:
    if os.name != "posix" and path.is_dir():
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(entry: Path) -> None:
    """Remove an entry. First it loses its name, so that nobody opens what is half gone."""
    dying = entry.with_name(f"{_PARTIAL}{_host()}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        entry.rename(dying)
    except OSError:
        return  # it was not there, or another process is removing it
    shutil.rmtree(dying, ignore_errors=True)


def remove_abandoned(folder: Path) -> None:
    """Remove what builders left that were killed."""
    for partial in folder.glob(f"{_PARTIAL}*"):
        if _is_abandoned(partial):
            shutil.rmtree(partial, ignore_errors=True)


def _is_abandoned(partial: Path) -> bool:
    host, process = partial.name.removeprefix(_PARTIAL).rsplit("-", 2)[:2]
    if host == _host() and os.name == "posix" and process.isdigit():
        return not _is_alive(int(process))
    try:
        return time.time() - partial.stat().st_mtime > _FOREIGN_SECONDS
    except OSError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname()) or "host"


def make_room(folder: Path, needed: int) -> None:
    """See to `needed` free bytes, removing long unused entries. Raises `DataError` if too few."""
    needed += _RESERVE_BYTES
    if shutil.disk_usage(folder).free >= needed:
        return
    missing = needed - shutil.disk_usage(folder).free
    clean(folder, max(0, _total_bytes(folder) - missing))
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise DataError(
            f"{folder}: the decoded pictures need {needed / 1e9:.2f} GB, {free / 1e9:.2f} GB are "
            f"free; free space, name a folder on another disk in VITREOUS_CACHE, or store "
            f"smaller pictures"
        )


def clean(folder: Path, keep_bytes: int) -> int:
    """Remove the longest unused entries until at most `keep_bytes` are left; bytes freed."""
    remove_abandoned(folder)
    entries = sorted(folder.glob(f"{ENTRY}*"), key=_last_used)
    total = before = _total_bytes(folder)
    for entry in entries:
        if total <= keep_bytes:
            break
        total -= _bytes(entry)
        discard(entry)
    return before - total


def mark_used(entry: Path) -> None:
    """Note that an entry is in use now; a cache that cannot be written to stays usable."""
    try:
        os.utime(entry / "meta.json")
    except OSError:
        return


def _last_used(entry: Path) -> float:
    try:
        return (entry / "meta.json").stat().st_mtime
    except OSError:
        return 0.0


def _total_bytes(folder: Path) -> int:
    return sum(map(_bytes, folder.glob(f"{ENTRY}*")))


def _bytes(entry: Path) -> int:
    try:
        return sum(path.stat().st_size for path in entry.iterdir())
    except OSError:
        return 0
