"""The decoded cache: right, made once, whole or absent, whatever is killed or broken."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from vitreous.data import cache_folders
from vitreous.data.cache import (
    PixelFormat,
    choose_format,
    clean_cache,
    default_cache_folder,
    open_cache,
)
from vitreous.data.letterbox import letterbox
from vitreous.data.samples import Picture, Sample, Source
from vitreous.errors import DataError


class Reads:
    """Reads files with Pillow, and counts."""

    def __init__(self, root: Path):
        self.root, self.count, self.asked, self.lock = root, 0, set(), threading.Lock()

    def __call__(self, sample: Sample, minimum_side: int | None) -> Picture:
        with self.lock:
            self.count += 1
            self.asked.add(minimum_side)
        try:
            image = Image.open(self.root / sample.path)
            pixels = np.asarray(image)
        except (OSError, SyntaxError):
            raise DataError(f"{sample.path}: not a picture") from None
        pixels = pixels[:, :, None] if pixels.ndim == 2 else pixels
        return Picture(pixels, (image.height, image.width))


def write_pictures(root: Path, sizes, mode="RGB"):
    rng = np.random.default_rng(len(sizes))
    for i, (height, width) in enumerate(sizes):
        shape = (height, width, 3) if mode == "RGB" else (height, width)
        path = root / "ab"[i % 2] / f"{i:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)


def make_source(root: Path) -> Source:
    files = tuple(sorted(root.rglob("*.png")))
    names = [path.relative_to(root).as_posix() for path in files]
    samples = tuple(Sample(name, name, name[0]) for name in names)
    return Source(root, "class folders", "", "class", ("a", "b"), samples, (), files, Reads(root))


@pytest.fixture
def root(tmp_path):
    write_pictures(tmp_path / "data", [(20 + i, 30) for i in range(40)])
    return tmp_path / "data"


FORMAT = PixelFormat((24, 24), 3)


def test_rows_are_the_letterboxed_pictures(root, tmp_path):
    source, told = make_source(root), []
    cache = open_cache(
        source, FORMAT, folder=tmp_path / "cache", on_progress=lambda *x: told.append(x)
    )
    assert cache.pixels.shape == (40, 3, 24, 24)
    assert isinstance(cache.pixels, np.memmap)
    for row, sample in enumerate(source.samples):
        picture = source.read(sample, None)
        expected = letterbox(picture.pixels, (24, 24)).transpose(2, 0, 1)
        np.testing.assert_array_equal(cache.pixels[row], expected)
        assert tuple(cache.sizes[row]) == picture.size
    assert cache.usable.all()
    assert source.read.asked == {24, None}
    assert told[-1] == (40, 40)
    with pytest.raises(ValueError, match="read-only"):
        cache.pixels[0] = 0


def test_pictures_are_decoded_once(root, tmp_path):
    first, again = make_source(root), make_source(root)
    one = open_cache(first, FORMAT, folder=tmp_path / "cache")
    two = open_cache(again, FORMAT, folder=tmp_path / "cache")
    assert first.read.count == 40
    assert again.read.count == 0
    np.testing.assert_array_equal(one.pixels, two.pixels)
    np.testing.assert_array_equal(one.sizes, two.sizes)
    assert one.fingerprint == two.fingerprint


def test_other_bytes_format_or_order_is_another_entry(root, tmp_path):
    folder = tmp_path / "cache"
    open_cache(make_source(root), FORMAT, folder=folder)
    other_size = make_source(root)
    open_cache(other_size, PixelFormat((16, 24), 3), folder=folder)
    assert other_size.read.count == 40
    source = make_source(root)
    turned = Source(**{**source.__dict__, "samples": source.samples[::-1], "read": Reads(root)})
    cache = open_cache(turned, FORMAT, folder=folder)
    assert turned.read.count == 40
    expected = letterbox(turned.read(turned.samples[0], None).pixels, (24, 24))
    np.testing.assert_array_equal(cache.pixels[0], expected.transpose(2, 0, 1))
    Image.new("RGB", (30, 20), (250, 0, 0)).save(root / "a" / "0000.png")
    changed = make_source(root)
    assert (open_cache(changed, FORMAT, folder=folder).pixels[0, 0] == 250).all()
    assert changed.read.count == 40


def test_bad_pictures_are_rows_with_a_reason_also_when_reopened(root, tmp_path):
    (root / "a" / "0004.png").write_bytes(b"no picture")
    for _ in range(2):
        source = make_source(root)
        cache = open_cache(source, FORMAT, folder=tmp_path / "cache")
        bad = [sample.path for sample in source.samples].index("a/0004.png")
        assert cache.skipped == {bad: "not a picture"}
        assert np.flatnonzero(~cache.usable).tolist() == [bad]
        assert not cache.pixels[bad].any()
        assert not cache.sizes[bad].any()
    assert source.read.count == 0


@pytest.mark.parametrize(
    "harm", ["cut", "grown", "meta", "no meta", "other key", "no pixels", "shape"]
)
def test_a_broken_entry_is_made_again(root, tmp_path, harm):
    folder = tmp_path / "cache"
    open_cache(make_source(root), FORMAT, folder=folder)
    (entry,) = folder.glob("pixels-*")
    meta = json.loads((entry / "meta.json").read_text())
    if harm == "cut":
        with (entry / "pixels.u8").open("rb+") as file:
            file.truncate(1000)
    elif harm == "grown":
        with (entry / "pixels.u8").open("ab") as file:
            file.write(b"x")
    elif harm == "no pixels":
        (entry / "pixels.u8").unlink()
    elif harm == "no meta":
        (entry / "meta.json").unlink()
    else:
        meta["key"] = "0" if harm == "other key" else meta["key"]
        meta["shape"] = [1, 2] if harm == "shape" else meta["shape"]
        text = json.dumps(meta)
        (entry / "meta.json").write_text(text[:50] if harm == "meta" else text)
    source = make_source(root)
    cache = open_cache(source, FORMAT, folder=folder)
    assert source.read.count == 40
    assert cache.pixels[:].any(axis=(1, 2, 3)).all()
    assert len([*folder.glob("pixels-*")]) == 1
    assert not [*folder.glob(".building-*")]


WAITING_BUILD = """
import importlib.util, itertools, signal, sys, time
from pathlib import Path
from vitreous.data.cache import open_cache
from vitreous.data.samples import Source
spec = importlib.util.spec_from_file_location("helpers", sys.argv[1])
helpers = importlib.util.module_from_spec(spec)
spec.loader.exec_module(helpers)
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where a shell had it ignored
root, folder, go = map(Path, sys.argv[2:])
source, count = helpers.make_source(root), itertools.count()
def read(sample, side):
    while next(count) > 10 and not go.exists():
        time.sleep(0.01)
    return source.read(sample, side)
waiting = Source(**{**source.__dict__, "read": read})
cache = open_cache(waiting, helpers.FORMAT, folder=folder)
print(source.read.count, int(cache.pixels[:].astype(int).sum()), flush=True)
"""


def build_elsewhere(root, folder):
    """A process that decodes ten pictures, and goes on when the file `go` is there."""
    command = [sys.executable, "-c", WAITING_BUILD, __file__, str(root), str(folder)]
    pipe = subprocess.PIPE
    return subprocess.Popen([*command, str(folder / "go")], stdout=pipe, stderr=pipe)


def wait_for(condition, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


@pytest.mark.skipif(os.name != "posix", reason="kills by signal")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_build_is_never_read_and_is_cleaned_up(root, tmp_path, how):
    folder = tmp_path / "cache"
    process = build_elsewhere(root, folder)
    wait_for(lambda: [*folder.glob(".building-*/pixels.u8")])
    time.sleep(0.3)
    process.send_signal(how)
    time.sleep(0.3)  # the interrupt reaches a process that waits
    (folder / "go").touch()
    process.communicate()
    assert process.returncode != 0
    assert not [*folder.glob("pixels-*")]
    assert bool([*folder.glob(".building-*")]) == (how == signal.SIGKILL)
    source = make_source(root)
    cache = open_cache(source, FORMAT, folder=folder)
    assert source.read.count == 40
    assert cache.usable.all()
    assert not [*folder.glob(".building-*")]


@pytest.mark.skipif(os.name != "posix", reason="looks at process numbers")
def test_two_processes_build_the_same_cache_without_harm(root, tmp_path):
    folder = tmp_path / "cache"
    processes = [build_elsewhere(root, folder) for _ in range(2)]
    wait_for(lambda: len([*folder.glob(".building-*/pixels.u8")]) == 2)
    cache_folders.remove_abandoned(folder)  # both are alive: nothing is abandoned
    assert len([*folder.glob(".building-*/pixels.u8")]) == 2
    (folder / "go").touch()
    outputs = [process.communicate() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
    assert len([*folder.glob("pixels-*")]) == 1
    assert not [*folder.glob(".building-*")]


def test_partial_folders_of_other_machines_are_kept_for_a_day(tmp_path):
    fresh, old = tmp_path / ".building-far-1-ab", tmp_path / ".building-far-2-cd"
    fresh.mkdir()
    old.mkdir()
    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(old, (two_days_ago, two_days_ago))
    cache_folders.remove_abandoned(tmp_path)
    assert fresh.exists()
    assert not old.exists()


def test_no_room_is_said_before_anything_is_decoded(root, tmp_path, monkeypatch):
    folder, source = tmp_path / "cache", make_source(root)
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(cache_folders.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DataError, match=r"need 0.07 GB.*VITREOUS_CACHE") as caught:
        open_cache(source, FORMAT, folder=folder)
    assert "\n" not in str(caught.value)
    assert source.read.count == 0


def test_room_is_made_by_removing_the_longest_unused(root, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    for side in (8, 16, 24):
        open_cache(make_source(root), PixelFormat((side, side), 3), folder=folder)
    pixels = {path.stat().st_size: path.parent for path in folder.glob("pixels-*/pixels.u8")}
    entries = {side: pixels[40 * 3 * side * side] for side in (8, 16, 24)}
    for i, side in enumerate((16, 8, 24)):  # 16 is the longest unused
        os.utime(entries[side] / "meta.json", (1000 + i, 1000 + i))
    open_cache(make_source(root), PixelFormat((16, 16), 3), folder=folder)  # now it is used again

    full = cache_folders._total_bytes(folder) + cache_folders._RESERVE_BYTES + 1000

    def usage(path):
        return SimpleNamespace(free=full - cache_folders._total_bytes(folder))

    monkeypatch.setattr(cache_folders.shutil, "disk_usage", usage)
    open_cache(make_source(root), PixelFormat((12, 12), 3), folder=folder)
    assert not entries[8].exists()
    assert entries[16].exists()
    clean_cache(folder)
    assert all(path.suffix == ".json" for path in folder.iterdir())


def test_a_cache_that_is_read_survives_its_removal(root, tmp_path):
    cache = open_cache(make_source(root), FORMAT, folder=tmp_path / "cache")
    before = cache.pixels[5].copy()
    clean_cache(tmp_path / "cache")
    np.testing.assert_array_equal(cache.pixels[5], before)


def test_an_error_while_decoding_leaves_nothing(root, tmp_path):
    source = make_source(root)

    def broken(sample, side):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        open_cache(Source(**{**source.__dict__, "read": broken}), FORMAT, folder=tmp_path / "cache")
    assert not [*(tmp_path / "cache").glob("*pixels-*")]
    assert not [*(tmp_path / "cache").glob(".building-*")]


def test_a_full_disk_is_said_not_crashed_into(root, tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_folders.os, "posix_fallocate", full)
    source = make_source(root)
    with pytest.raises(DataError, match=r"cache: the cache cannot be written \(No space left"):
        open_cache(source, FORMAT, folder=tmp_path / "cache")
    assert source.read.count == 0
    assert not [*(tmp_path / "cache").glob(".building-*")]


def test_room_on_the_disk_is_taken_before_writing(tmp_path):
    cache_folders.allocate(tmp_path / "pixels", 300_000)
    status = (tmp_path / "pixels").stat()
    assert status.st_size == 300_000
    assert status.st_blocks * 512 >= 300_000


def test_an_error_of_the_users_own_code_is_not_taken_for_the_caches(root, tmp_path):
    def missing(sample, side):
        raise FileNotFoundError(2, "No such file", "theirs.png")

    source = Source(**{**make_source(root).__dict__, "read": missing})
    with pytest.raises(FileNotFoundError, match=r"theirs.png"):
        open_cache(source, FORMAT, folder=tmp_path / "cache")


def test_a_folder_that_cannot_be_made_is_named(root, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DataError, match=r"file/cache: the cache folder cannot be made"):
        open_cache(make_source(root), FORMAT, folder=tmp_path / "file" / "cache")


def test_no_samples_are_an_error(root, tmp_path):
    empty = Source(**{**make_source(root).__dict__, "samples": ()})
    with pytest.raises(DataError, match="no pictures found"):
        open_cache(empty, FORMAT, folder=tmp_path)


def test_default_folder_is_the_users_or_the_named_one(monkeypatch, tmp_path):
    monkeypatch.setenv("VITREOUS_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path
    monkeypatch.delenv("VITREOUS_CACHE")
    assert default_cache_folder().name == "vitreous"


MEMORY = """
import sys
from pathlib import Path
import numpy as np
from vitreous.data.cache import PixelFormat, open_cache
from vitreous.data.samples import Picture, Sample, Source

def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) / 1024

picture = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
samples = tuple(Sample(f"{i}.png", f"{i}.png", "a") for i in range(1500))
root = Path(sys.argv[1])
(root / "one.png").write_bytes(b"x")
source = Source(root, "", "", "class", ("a",), samples, (), (root / "one.png",),
                lambda sample, side: Picture(picture + np.uint8(1), (300, 300)))
start, most = anonymous(), 0.0
def watch(done, total):
    global most
    most = max(most, anonymous() - start)
open_cache(source, PixelFormat((224, 224), 3), folder=root / "cache", on_progress=watch)
print(most)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_decoding_takes_constant_memory(tmp_path):
    """226 MB of pixels are written; what is not a page of the mapped file stays small."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert float(done.stdout) < 60  # MB


def test_format_of_equal_small_pictures_is_theirs(tmp_path):
    write_pictures(tmp_path, [(28, 31)] * 6, mode="L")
    found = choose_format(make_source(tmp_path))
    assert found == PixelFormat((28, 31), 1)
    assert "grey" in found.why


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([(20, 90), (50, 50), (300, 200)], (88, 88)),
        ([(500, 375), (375, 500), (400, 400)], (128, 128)),
        ([(360, 480)] * 3, (96, 128)),
        ([(360, 480), (180, 240)], (96, 128)),
        ([(1000, 100)] * 2, (128, 16)),
        ([(3, 2), (2, 5)], (8, 8)),
    ],
)
def test_format_of_other_pictures(tmp_path, sizes, expected):
    write_pictures(tmp_path, sizes)
    assert choose_format(make_source(tmp_path)).size == expected


def test_format_looks_at_an_even_spread_and_at_colour(tmp_path):
    write_pictures(tmp_path, [(16, 16)] * 60, mode="L")
    source = make_source(tmp_path)
    assert choose_format(source, look_at=10).channels == 1
    assert source.read.count == 10
    Image.new("RGB", (16, 16)).save(tmp_path / "b" / "0059.png")
    assert choose_format(make_source(tmp_path), look_at=10).channels == 3


def test_format_of_unreadable_pictures_is_an_error(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 pictures"):
        choose_format(make_source(tmp_path))
