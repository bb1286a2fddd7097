"""The key of a data set: what its files hold, not when or where they lie."""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

from vitreous.data.samples import Source
from vitreous.errors import DataError
from vitreous.files import write_text

DECODING = "upright, 8 bit, version 1"  # raise the version when the same bytes decode otherwise

Progress = Callable[[int, int], None]
"""Called with (done, total) now and then."""

_CHUNK_BYTES = 1 << 20
_JUST_CHANGED_NS = 2_000_000_000  # a file this young may change again without a newer time


def fingerprint(
    source: Source, folder: Path, workers: int = 2, on_progress: Progress | None = None
) -> str:
    """32 hex digits that change whenever a file's path, a byte, or the way of decoding does.

    blake2b over the sorted (relative path, digest of the bytes) of `source.files`. The digest of a
    file whose size and times have not changed is taken from a memo in `folder`; a broken memo is
    ignored. A source without files (arrays in memory) is hashed by its pixels.
    """
    if not source.files:
        return _of_pixels(source, on_progress)
    digests = _file_digests(source, folder, workers, on_progress)
    total = blake2b(DECODING.encode(), digest_size=16)
    for path, digest in sorted((_relative(path, source.root), d) for path, d in digests.items()):
        total.update(b"\0".join((path.encode(errors="surrogateescape"), digest.encode(), b"")))
    return total.hexdigest()


def _of_pixels(source: Source, on_progress: Progress | None) -> str:
    total = blake2b(DECODING.encode(), digest_size=16)
    for done, sample in enumerate(source.samples, start=1):
        try:
            pixels = source.read(sample, None).pixels
            total.update(repr((sample.sample_id, pixels.shape)).encode())
            total.update(pixels.tobytes())
        except DataError as error:
            total.update(f"{sample.sample_id} unusable: {error}".encode())
        _report(on_progress, done, len(source.samples))
    return total.hexdigest()


def _file_digests(
    source: Source, folder: Path, workers: int, on_progress: Progress | None
) -> dict[Path, str]:
    memo_path = folder / f"digests-{_short(str(source.root.resolve()))}.json"
    known = _read_memo(memo_path)
    stamps = {path: _stamp(path) for path in dict.fromkeys(source.files)}
    # hashed: of scans the names of folders may be patients'
    names = {path: _short(_relative(path, source.root)) for path in stamps}
    digests = {
        path: known[names[path]][1]
        for path, stamp in stamps.items()
        if stamp is not None and known.get(names[path], [None])[0] == stamp
    }
    missing = [path for path in stamps if path not in digests]
    digests |= _read_digests(missing, workers, on_progress)
    if missing:
        _write_memo(memo_path, {names[p]: [s, digests[p]] for p, s in stamps.items()})
    return digests


def _read_digests(
    paths: Sequence[Path], workers: int, on_progress: Progress | None
) -> dict[Path, str]:
    digests: dict[Path, str] = {}
    with ThreadPoolExecutor(workers) as pool:
        for path, digest in zip(paths, pool.map(_digest, paths), strict=True):
            digests[path] = digest
            _report(on_progress, len(digests), len(paths))
    return digests


def _digest(path: Path) -> str:
    total = blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                total.update(chunk)
    except OSError as error:  # reading it will say so, with the path; here it only counts as such
        return f"unreadable: {error.strerror}"
    return total.hexdigest()


def _stamp(path: Path) -> list[int] | None:
    """Size and times of a file; None where they cannot tell whether it will have changed."""
    try:
        status = path.stat()
    except OSError:
        return None
    changed = max(status.st_mtime_ns, status.st_ctime_ns)
    if time.time_ns() - changed < _JUST_CHANGED_NS:
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _read_memo(path: Path) -> dict[str, list]:
    try:
        memo = json.loads(path.read_text(encoding="utf-8"))
        entries = memo["files"] if memo["decoding"] == DECODING else {}
        return {name: [stamp, str(digest)] for name, (stamp, digest) in entries.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _write_memo(path: Path, entries: dict[str, list]) -> None:
    kept = {n: e for n, e in entries.items() if e[0] is not None and "unreadable" not in e[1]}
    with suppress(OSError):  # it only saves time
        write_text(path, json.dumps({"decoding": DECODING, "files": kept}))


def _relative(path: Path, root: Path) -> str:
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _short(text: str) -> str:
    return blake2b(text.encode(errors="surrogateescape"), digest_size=8).hexdigest()


def _report(on_progress: Progress | None, done: int, total: int) -> None:
    if on_progress is not None and (done % 64 == 0 or done == total):
        on_progress(done, total)
