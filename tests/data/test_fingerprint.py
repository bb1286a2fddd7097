import os
import shutil
import time

import numpy as np
import pytest

from vitreous.data import fingerprint as module
from vitreous.data.fingerprint import fingerprint
from vitreous.data.samples import Picture, Sample, Source


def source_of(root):
    files = tuple(sorted(path for path in root.rglob("*") if path.is_file()))
    return Source(root, "", "", "class", ("a",), (), (), files, lambda *_: None)


@pytest.fixture
def root(tmp_path):
    for name in ("a/1", "a/2", "b/3"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode() * 1000)
    age(tmp_path / "data")
    return tmp_path / "data"


def age(root):
    """Old enough that a change would show in the times."""
    for path in root.rglob("*"):
        os.utime(path, (1_000_000, 1_000_000))


@pytest.fixture(autouse=True)
def _older_than_it_is(monkeypatch):
    # changing times sets the inode's own time to now; look back from a minute later
    monkeypatch.setattr(module.time, "time_ns", lambda: int((time.time() + 60) * 1e9))


def test_fingerprint_is_of_the_content_wherever_it_lies(root, tmp_path):
    folder = tmp_path / "memo"
    first = fingerprint(source_of(root), folder)
    assert len(first) == 32
    shutil.copytree(root, tmp_path / "elsewhere")
    assert fingerprint(source_of(tmp_path / "elsewhere"), folder) == first
    source = source_of(root)
    assert fingerprint(Source(**{**source.__dict__, "files": source.files[::-1]}), folder) == first


@pytest.mark.parametrize("change", ["byte", "name", "swap", "more"])
def test_fingerprint_changes_with_bytes_and_names(root, tmp_path, change):
    folder = tmp_path / "memo"
    first = fingerprint(source_of(root), folder)
    one, two = root / "a/1", root / "a/2"
    if change == "byte":
        one.write_bytes(one.read_bytes()[:-1] + b"?")
    elif change == "name":
        one.rename(root / "a/7")
    elif change == "swap":
        content = one.read_bytes()
        one.write_bytes(two.read_bytes())
        two.write_bytes(content)
    else:
        (root / "a/8").write_bytes(b"")
    age(root)  # same modification times, so that only content and inode time can tell
    assert fingerprint(source_of(root), folder) != first


def test_unchanged_files_are_not_read_again(root, tmp_path, monkeypatch):
    folder, read = tmp_path / "memo", []
    real = module._digest
    monkeypatch.setattr(module, "_digest", lambda path: (read.append(path.name), real(path))[1])
    first = fingerprint(source_of(root), folder)
    assert sorted(read) == ["1", "2", "3"]
    read.clear()
    assert fingerprint(source_of(root), folder) == first
    assert read == []
    (root / "a/2").write_bytes(b"new")
    fingerprint(source_of(root), folder)
    assert read == ["2"]


def test_a_file_changed_just_now_is_not_taken_from_the_memo(root, tmp_path, monkeypatch):
    monkeypatch.setattr(module.time, "time_ns", lambda: int(time.time() * 1e9))
    fingerprint(source_of(root), tmp_path / "memo")
    (memo,) = (tmp_path / "memo").iterdir()
    assert module._read_memo(memo) == {}


@pytest.mark.parametrize(
    "broken", ["", "[1]", '{"decoding": 3, "files": 4}', '{"files": {"a/1": 5}}', "\x00"]
)
def test_a_broken_memo_is_ignored(root, tmp_path, broken):
    folder = tmp_path / "memo"
    first = fingerprint(source_of(root), folder)
    (memo,) = folder.iterdir()
    memo.write_text(broken)
    assert fingerprint(source_of(root), folder) == first


def test_an_unreadable_file_counts_as_such(root, tmp_path):
    source = source_of(root)
    first = fingerprint(source, tmp_path / "memo")
    (root / "a/1").unlink()
    assert fingerprint(source, tmp_path / "memo") != first


def test_arrays_in_memory_are_hashed_by_their_pixels(tmp_path):
    arrays = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), dtype=np.uint8)
    samples = tuple(Sample(f"#{i}", f"#{i}", "a", index=i) for i in range(5))

    def source(pixels):
        read = lambda sample, side: Picture(pixels[sample.index], (8, 8))  # noqa: E731
        return Source(tmp_path, "arrays", "", "class", ("a",), samples, (), (), read)

    first = fingerprint(source(arrays), tmp_path)
    assert fingerprint(source(arrays.copy()), tmp_path) == first
    changed = arrays.copy()
    changed[4, 7, 7] ^= 1
    assert fingerprint(source(changed), tmp_path) != first
