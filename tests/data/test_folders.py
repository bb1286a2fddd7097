"""Class folders with and without splits: what is a class, what is a split, what is neither."""

import pytest

from vitreous.data.recognise import recognise
from vitreous.errors import DataError


def ids(source):
    return [sample.sample_id for sample in source.samples]


def skipped(source):
    return {item.path: (item.reason, item.harmless) for item in source.skipped}


def test_class_folders(plant):
    root = plant("bee/1.jpg", "bee/2.png", "ant/10.jpg", "ant/9.webp", "ant/patient 1/ü.tif")
    source = recognise(root)
    assert source.kind == "class folders"
    assert source.classes == ("ant", "bee")
    assert source.label_kind == "class"
    assert ids(source) == [
        "ant/10.jpg", "ant/9.webp", "ant/patient 1/ü.tif", "bee/1.jpg", "bee/2.png",
    ]  # fmt: skip
    assert [sample.label for sample in source.samples] == ["ant"] * 3 + ["bee"] * 2
    assert {sample.split for sample in source.samples} == {None}
    assert source.files == tuple(root / sample.path for sample in source.samples)
    assert "2 folders, one a class (ant, bee), hold 5 pictures" in source.why
    assert source.warnings == ()
    assert source.read(source.samples[0], None).pixels.shape == (24, 32, 3)


def test_numbered_classes_are_in_the_order_of_numbers(plant):
    names = [f"{digit}/{n}.png" for digit in range(11) for n in range(2)]
    assert recognise(plant(*names)).classes == tuple(str(digit) for digit in range(11))


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "val", "test"), ("train", "val", "test")),
        (("Training", "validation", "TEST"), ("train", "val", "test")),
        (("train", "val"), ("train", "test")),
        (("train", "valid"), ("train", "test")),
        (("train", "test"), ("train", "test")),
        (("train",), (None,)),
        (("test",), (None,)),
    ],
)
def test_given_splits_and_what_they_mean(plant, folders, splits):
    root = plant(*(f"{f}/{c}/{n}.png" for f in folders for c in ("a", "b") for n in (1, 2)))
    source = recognise(root)
    found = {s.path.split("/")[0]: s.split for s in source.samples}
    assert found == dict(zip(folders, splits, strict=True))
    assert source.kind == "train/val/test folders"
    if "test" in splits and "val" not in splits:
        assert "validation is taken out of train" in source.why


def test_val_and_test_without_train_is_an_error(plant):
    root = plant(*(f"{f}/{c}/{n}.png" for f in ("val", "test") for c in "ab" for n in (1, 2)))
    with pytest.raises(DataError, match="has val and test but no train"):
        recognise(root)


def test_folders_that_only_wrap_are_stepped_over(plant):
    root = plant(*(f"photos/v2/{c}/{n}.png" for c in ("cat", "dog") for n in (1, 2)))
    source = recognise(root)
    assert source.classes == ("cat", "dog")
    assert source.samples[0].sample_id == "photos/v2/cat/1.png"
    assert "inside photos/v2/" in source.why


def test_a_class_may_be_called_train(plant):
    root = plant(*(f"{c}/{n}.png" for c in ("train", "bus", "car") for n in (1, 2)))
    assert recognise(root).classes == ("bus", "car", "train")


def test_what_lies_beside_is_listed_and_does_not_count(plant):
    root = plant("a/1.png", "a/2.png", "b/1.png", "b/2.png", "cover.png")
    (root / "README.md").write_text("words")
    (root / "a" / ".DS_Store").write_bytes(b"x")
    (root / "b" / "Thumbs.db").write_bytes(b"x")
    found = skipped(recognise(root))
    assert found["README.md"] == ("no picture, and in no class folder", True)
    assert found["a/.DS_Store"] == ("hidden or system file", True)
    assert found["b/Thumbs.db"] == ("hidden or system file", True)
    assert found["cover.png"] == ("lies in no class folder: no label", False)
    assert len(found) == 4


def test_files_in_class_folders_that_are_no_pictures_are_named_by_content(plant, encode, part):
    root = plant("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (root / "a" / "notes.txt").write_text("words")
    (root / "a" / "empty.bin").write_bytes(b"")
    (root / "b" / "picture.dat").write_bytes(encode(part(1), "PNG"))
    found = skipped(recognise(root))
    assert found["a/notes.txt"] == ("not a picture: text", False)
    assert found["a/empty.bin"] == ("not a picture: empty (0 bytes)", False)
    assert found["b/picture.dat"][0].startswith("wrong suffix: a PNG picture named .dat; rename")


def test_unlabelled_test_pictures_are_said(plant):
    names = [f"train/{c}/{n}.png" for c in "ab" for n in (1, 2)]
    source = recognise(plant(*names, "test/1.png", "test/2.png", "extra/c/1.png"))
    assert len(source.samples) == 4
    assert "test/ holds 2 pictures in no class folder: unlabelled, not used" in source.warnings
    assert any(text.startswith("extra is not part of the split") for text in source.warnings)
    assert all(item.harmless for item in source.skipped)
    assert {sample.split for sample in source.samples} == {None}


def test_empty_class_folders_are_said(plant):
    root = plant("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (root / "c").mkdir()
    (root / ".git").mkdir()
    assert recognise(root).warnings == ("the folder c/ holds no picture and is no class",)
    root = plant(*(f"{s}/{c}/{n}.png" for s in ("train", "test") for c in "ab" for n in (1, 2)),
                 root=root / "split")  # fmt: skip
    (root / "test" / "empty").mkdir()
    assert recognise(root).warnings == ("the folder test/empty/ holds no picture and is no class",)


def test_classes_that_differ_in_case_only_are_said(plant):
    root = plant(*(f"{c}/{n}.png" for c in ("Cat", "cat", "dog") for n in (1, 2)))
    assert recognise(root).warnings == (
        "the classes Cat and cat differ in upper and lower case only",
    )


def test_split_folders_without_classes(plant):
    root = plant(*(f"{s}/{n}.png" for s in ("train", "val", "test") for n in (1, 2)))
    with pytest.raises(DataError, match=r"train/, val/, test/ hold pictures, but no class folders"):
        recognise(root)


def test_classes_above_splits(plant):
    root = plant(*(f"{c}/{s}/{n}.png" for c in "ab" for s in ("train", "test") for n in (1, 2)))
    with pytest.raises(DataError, match="test/, train/ lie inside the class folders; turn"):
        recognise(root)


def test_pictures_with_masks_are_no_classes(plant):
    root = plant("images/1.png", "images/2.png", "masks/a.png", "masks/b.png")
    with pytest.raises(DataError, match="images/, masks/ look like pictures and their masks, not"):
        recognise(root)


def test_an_unreadable_class_folder_is_an_error_by_name(open_folder, as_nobody, plant):
    root = plant(*(f"{c}/{n}.png" for c in "abc" for n in (1, 2)), root=open_folder)
    (root / "b").chmod(0)
    with as_nobody(), pytest.raises(DataError, match=r"/b: not readable: permission denied; allow"):
        recognise(root)
    (root / "b").chmod(0o755)


def test_an_unreadable_folder_deeper_down_is_skipped_by_name(open_folder, as_nobody, plant):
    root = plant(*(f"{c}/{n}.png" for c in "ab" for n in (1, 2)), "a/p/3.png", root=open_folder)
    (root / "a" / "p").chmod(0)
    with as_nobody():
        found = skipped(recognise(root))
    (root / "a" / "p").chmod(0o755)
    assert found == {"a/p": ("not readable: permission denied", False)}


def test_links_do_not_hang(plant):
    root = plant("a/1.png", "a/2.png", "b/1.png", "b/2.png")
    (root / "a" / "loop").symlink_to(root)
    source = recognise(root)
    assert ids(source) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    assert "link" in skipped(source)["a/loop"][0]
