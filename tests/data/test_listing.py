"""Finding files: sorted, lazily, without hidden ones, and through no loop of links."""

import itertools
import os
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data import listing
from vitreous.data.listing import is_hidden, list_pictures, sorted_entries, walk


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return root


def listed(root: Path, *inputs: str, **options) -> list[str]:
    paths = list_pictures([str(root / text) for text in inputs], **options)
    return [path.relative_to(root).as_posix() for path in paths]


def test_a_folder_gives_its_pictures_sorted_and_nothing_else(tmp_path):
    touch(
        tmp_path, "b/2.png", "b/10.PNG", "a.jpg", "c.txt", ".hidden.jpg", ".git/x.jpg",
        "Thumbs.db", "__MACOSX/a.jpg", "b/ä ö.webp", "b/sub/1.tiff",
    )  # fmt: skip
    found = listed(tmp_path, "")
    assert found == ["a.jpg", "b/10.PNG", "b/2.png", "b/sub/1.tiff", "b/ä ö.webp"]


def test_files_are_given_as_they_are_even_if_missing(tmp_path):
    touch(tmp_path, "scan.dat", ".hidden.jpg")
    assert listed(tmp_path, "scan.dat", "gone.jpg", ".hidden.jpg") == [
        "scan.dat", "gone.jpg", ".hidden.jpg",
    ]  # fmt: skip


def test_patterns(tmp_path):
    touch(tmp_path, "a/1.jpg", "a/2.png", "a/deep/3.jpg", "b/4.jpg", "notes.txt", "a/.h.jpg")
    reported = []
    assert listed(tmp_path, "a/*.jpg") == ["a/1.jpg"]
    assert listed(tmp_path, "**/*.jpg") == ["a/1.jpg", "a/deep/3.jpg", "b/4.jpg"]
    assert listed(tmp_path, "**") == ["a/1.jpg", "a/2.png", "a/deep/3.jpg", "b/4.jpg"]
    assert listed(tmp_path, "?/*") == ["a/1.jpg", "a/2.png", "a/deep/3.jpg", "b/4.jpg"]
    assert listed(tmp_path, "*.txt") == ["notes.txt"]
    assert listed(tmp_path, "*.gif", report=reported.append) == []
    assert [(skipped.reason, skipped.harmless) for skipped in reported] == [
        ("no file fits this pattern", False)
    ]


def test_a_pattern_in_the_working_folder(tmp_path, monkeypatch):
    touch(tmp_path, "1.jpg", "2.jpg")
    monkeypatch.chdir(tmp_path)
    assert [path.as_posix() for path in list_pictures(["*.jpg"])] == ["1.jpg", "2.jpg"]


def test_brackets_in_a_real_name_are_no_pattern(tmp_path):
    touch(tmp_path, "scan[1].jpg", "scan1.jpg")
    assert listed(tmp_path, "scan[1].jpg") == ["scan[1].jpg"]


def test_a_list_on_standard_input(tmp_path, monkeypatch):
    touch(tmp_path, "a/1.jpg", "b c.jpg")
    lines = [f"{tmp_path}/a\n", "\n", f"{tmp_path}/b c.jpg\r\n"]
    assert [p.name for p in list_pictures(["-"], stdin=lines)] == ["1.jpg", "b c.jpg"]
    monkeypatch.setattr("sys.stdin", iter(lines))
    assert [p.name for p in list_pictures(["-"])] == ["1.jpg", "b c.jpg"]


def test_standard_input_is_read_as_it_comes(tmp_path):
    touch(tmp_path, "1.jpg")
    endless = (f"{tmp_path}/1.jpg\n" for _ in itertools.count())
    assert len(list(itertools.islice(list_pictures(["-"], stdin=endless), 5))) == 5


def test_loops_of_links_end_and_are_named(tmp_path):
    touch(tmp_path, "a/1.jpg", "b/2.jpg")
    (tmp_path / "a" / "self").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "to_b").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "to_a").symlink_to(tmp_path / "a")
    (tmp_path / "b" / "top").symlink_to(tmp_path)
    reported = []
    found = [item.path for item in walk(tmp_path, reported.append)]
    assert set(found) == {"a/1.jpg", "a/to_b/2.jpg", "b/2.jpg"}
    assert {item.path for item in reported} >= {"a/self", "a/to_b/to_a", "a/to_b/top"}
    assert all("link to a folder that was already read" in item.reason for item in reported)


def test_many_links_among_many_folders_end_soon(tmp_path):
    for one in range(9):
        (tmp_path / str(one)).mkdir()
    for one, other in itertools.permutations(range(9), 2):
        (tmp_path / str(one) / f"to{other}").symlink_to(tmp_path / str(other))
    touch(tmp_path, "0/1.jpg")
    assert 1 <= len(list(walk(tmp_path, lambda _: None))) <= 9


def test_what_cannot_be_read_is_named(tmp_path):
    touch(tmp_path, "a/1.jpg", ".DS_Store")
    (tmp_path / "a" / "broken.jpg").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "a" / "pipe.jpg")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a/bad\xff.jpg")).touch()
    reported = {}
    found = [i.path for i in walk(tmp_path, lambda s: reported.update({s.path: s}))]
    assert found == ["a/1.jpg"]
    assert reported["a/broken.jpg"].reason == "a broken link"
    assert reported["a/pipe.jpg"].reason == "not a regular file"
    assert "not valid UTF-8" in reported["a/bad\\udcff.jpg"].reason
    assert reported[".DS_Store"].harmless
    assert not reported["a/broken.jpg"].harmless


def test_a_folder_without_permission_is_reported(open_folder, as_nobody):
    touch(open_folder, "a/1.jpg", "b/2.jpg")
    (open_folder / "a").chmod(0)
    reported = []
    with as_nobody():
        found = listed(open_folder, "", report=reported.append)
    (open_folder / "a").chmod(0o755)
    assert found == ["b/2.jpg"]
    assert reported[0].path == str(open_folder / "a")
    assert reported[0].reason == "not readable: permission denied"


@settings(max_examples=30, deadline=None)
@given(
    names=st.sets(st.text("abAB.1-é", min_size=1, max_size=6).filter(lambda n: n.strip("."))),
    at_once=st.integers(1, 7),
)
def test_a_folder_in_parts_is_as_sorted_as_in_one(names, at_once, tmp_path_factory):
    folder = touch(tmp_path_factory.mktemp("names"), *names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "NAMES_AT_ONCE", at_once)
        found = [entry.name for entry in sorted_entries(folder)]
    assert found == sorted(names)


def test_memory_does_not_grow_with_the_folder(tmp_path, monkeypatch):
    few = touch(tmp_path / "few", *(f"{number:05d}.jpg" for number in range(200)))
    many = touch(tmp_path / "many", *(f"{number:05d}.jpg" for number in range(1_500)))
    monkeypatch.setattr(listing, "NAMES_AT_ONCE", 100)

    def peak(folder: Path) -> int:
        tracemalloc.start()
        for _ in list_pictures([str(folder)]):
            pass
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    assert sum(1 for _ in list_pictures([str(many)])) == 1_500
    # the lesser: now and then Python enlarges its own table of names
    assert min(peak(many) for _ in range(2)) < 1.5 * min(peak(few) for _ in range(2))


@pytest.mark.parametrize("name", [".DS_Store", "._x.jpg", "thumbs.db", "desktop.ini", "__MACOSX"])
def test_hidden_names(name):
    assert is_hidden(name)
