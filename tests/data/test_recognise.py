"""Which layout is seen, and every folder that cannot be learned from refused by name."""

import tarfile
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.data.grouping import is_pattern
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError

TWO_EACH = ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png")


def refused(path, words, error=DataError, **options):
    with pytest.raises(error, match=words) as caught:
        recognise(path, **options)
    assert "\n" not in str(caught.value)


def test_a_path_that_does_not_exist(plant):
    root = plant(*TWO_EACH)
    refused(root.parent / "dta", r"dta: does not exist; did you mean .*/data\?")
    refused(root / "xyzzy", r"xyzzy: does not exist; check the path")


def test_an_empty_folder(tmp_path):
    refused(tmp_path, "the folder is empty; known are a folder for each class, .* a CSV or TSV")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    refused(tmp_path, r"the folder is empty \(only 1 hidden or broken entries\)")
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    refused(tmp_path, "the folder is empty")


def test_a_folder_without_pictures(tmp_path):
    for name in ("1.xyz", "2.xyz", "notes.txt", "LICENSE"):
        (tmp_path / name).write_bytes(b"x")
    refused(tmp_path, r"no pictures among 4 files \(2 .xyz, 1 no suffix, 1 .txt\); known are")


def test_pictures_without_labels(plant):
    refused(plant("1.png", "2.png"), "2 pictures without a label: no folder says their class")


def test_one_picture_as_data(plant):
    refused(plant("1.png") / "1.png", r"1.png: one picture, no data set; known are")


def test_a_file_of_unknown_kind(tmp_path):
    (tmp_path / "model.pth").write_bytes(b"x")
    refused(tmp_path / "model.pth", r"model.pth: a file of unknown kind \('.pth'\), no data set")


def test_one_class(plant):
    root = plant("ant/1.png", "ant/2.png")
    refused(root, r"data: only one class, 'ant' \(2 pictures\); at least two are needed")
    assert len(recognise(root, for_training=False).samples) == 2


def test_a_class_with_one_picture(plant):
    root = plant(*TWO_EACH, "wasp/only.png")
    refused(root, r"wasp/only.png: is the only picture of class 'wasp'; One to learn from")
    plant("fly/1.png")
    refused(root, r"fly/1.png: is the only picture of class 'fly' \(and 1 other classes\)")


def test_a_class_of_one_that_looks_mistyped(plant):
    names = [f"{c}/{n}.png" for c in ("dandelion", "sunflower") for n in (1, 2)]
    refused(plant(*names, "sunfower/3.png"), "'sunfower'; is it 'sunflower' mistyped?")


def test_a_mistyped_class_in_test(plant):
    names = [f"train/{c}/{n}.png" for c in ("ants", "bees") for n in (1, 2)]
    root = plant(*names, "test/ants/1.png", "test/beees/1.png")
    refused(
        root,
        r"test/beees/1.png: class 'beees' \(1 pictures\) is not in train; did you mean 'bees'\? "
        "Train has: ants, bees",
    )


def test_a_mistyped_class_in_a_table_of_several(plant):
    root = plant("1.png", "2.png", "3.png")
    text = "path,label,split\n1.png,spot|edge,train\n2.png,edge,train\n3.png,egde|spot,test\n"
    (root / "labels.csv").write_text(text)
    refused(root, r"3.png: class 'egde' .* did you mean 'edge'\?")


def test_a_class_that_is_never_tested_is_said(plant):
    names = [f"train/{c}/{n}.png" for c in ("ant", "bee", "fly") for n in (1, 2)]
    source = recognise(plant(*names, "test/ant/1.png", "test/bee/1.png"))
    assert source.warnings == ("test has no picture of fly",)


def test_equal_numbers_teach_nothing(plant):
    root = plant("1.png", "2.png")
    (root / "labels.csv").write_text("path,age\n1.png,4\n2.png,4\n")
    refused(root, "all labels are the number 4.0; nothing to learn from", task="regress")


def test_a_folder_without_permission(open_folder, as_nobody, plant):
    root = plant(*TWO_EACH, root=open_folder / "data")
    root.chmod(0)
    with as_nobody():
        refused(root, r"data: not readable: permission denied; allow reading it")
    root.chmod(0o755)


def test_groups_from_paths(plant):
    names = [f"{c}/patient{p}_{n}.png" for c in ("ant", "bee") for p in (1, 2) for n in (1, 2)]
    root = plant(*names)
    source = recognise(root, group=r"patient(\d+)_")
    assert [sample.group for sample in source.samples] == ["1", "1", "2", "2"] * 2
    assert "2 groups from the paths" in source.why
    refused(
        root, r"ant/patient1_1.png: --group '\(x\)' does not fit this path \(and 7", group="(x)"
    )
    refused(root, "gives all pictures the group 'patient'", group="(patient)")
    refused(root, "class folders have no columns", RequestError, group="patient")
    refused(root, "--group is empty", RequestError, group="")


def test_requests_that_do_not_fit(plant):
    root = plant(*TWO_EACH)
    refused(root, "--task regress needs a table", RequestError, task="regress")
    refused(root, "unknown task 'clasify'; did you mean 'classify'", RequestError, task="clasify")
    refused(root, "--label 'x': class folders have no columns", RequestError, label="x")


def test_the_limit_on_pixels_reaches_the_decoder(plant):
    source = recognise(plant(*TWO_EACH), max_pixels=100)
    with pytest.raises(DataError, match="24 x 32 = 768 pixels, more than 100"):
        source.read(source.samples[0], None)


def test_progress_is_told(plant, monkeypatch):
    monkeypatch.setattr("vitreous.data.folders.PROGRESS_STEP", 2)
    told = []
    recognise(plant(*TWO_EACH), on_progress=lambda done, total: told.append((done, total)))
    assert told == [(2, 0), (4, 0)]


NAMES = st.text("abcé ./-_0", min_size=1, max_size=8).filter(lambda n: n.strip(". ") == n)


@settings(max_examples=25, deadline=None)
@given(classes=st.sets(NAMES.filter(lambda n: "/" not in n), min_size=2, max_size=4))
def test_any_folder_names_are_classes_in_a_fixed_order(classes, tmp_path_factory, plant_bytes):
    from vitreous.data.pairing import LABEL_FOLDERS, PICTURE_FOLDERS

    if classes & (PICTURE_FOLDERS | LABEL_FOLDERS):
        return
    root = tmp_path_factory.mktemp("any")
    for name in sorted(classes, reverse=True):
        for number in (2, 1):
            path = root / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(plant_bytes)
    source = recognise(root)
    assert set(source.classes) == classes
    assert source.samples == recognise(root).samples
    assert [s.path for s in source.samples] == [
        f"{name}/{number}.png" for name in sorted(classes) for number in (1, 2)
    ]
    for sample in source.samples:
        assert sample.label == sample.path.split("/")[0]


@pytest.fixture(scope="module")
def plant_bytes():
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (2, 2)).save(buffer, "PNG")
    return buffer.getvalue()


def test_many_files_are_recognised_in_seconds(tmp_path):
    for label in "abcdef":
        (tmp_path / label).mkdir()
        first = tmp_path / label / "first.jpg"
        first.write_bytes(b"never decoded")
        for number in range(1_500):
            (tmp_path / label / f"{number}.jpg").hardlink_to(first)
    start = time.perf_counter()
    source = recognise(tmp_path)
    seconds = time.perf_counter() - start
    assert len(source.samples) == 9_006
    assert seconds < 2  # more than a seventh of sixty thousand, on a busy machine


def test_patterns_and_column_names_are_told_apart():
    assert is_pattern(r"(p\d+)")
    assert is_pattern(r"(?:a|b)/(p\d+)")
    for column in ("patient", "patient id", r"p\d+", "(a)(b)", "(unclosed"):
        assert not is_pattern(column)


@pytest.mark.data
def test_hymenoptera(real_data):
    source = recognise(real_data / "hymenoptera")
    counts = {(s.split, s.label) for s in source.samples}
    assert counts == {(p, c) for p in ("train", "test") for c in ("ants", "bees")}
    assert len(source.samples) == 397
    assert source.skipped == ()


@pytest.mark.data
def test_part_of_cifar10(real_data, tmp_path):
    with tarfile.open(real_data / "cifar10" / "cifar10_jpeg.tar.gz") as archive:
        for member in archive:
            if member.name.endswith("00.jpg"):
                archive.extract(member, tmp_path, filter="data")
    source = recognise(tmp_path)
    assert len(source.classes) == 10
    splits = [sample.split for sample in source.samples]
    assert (splits.count("train"), splits.count("test")) == (500, 100)
    assert {source.read(sample, None).size for sample in source.samples} == {(32, 32)}


@pytest.mark.data
@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("imagenet_sample", "no label column among file, class_index, wnid, name"),
        ("weights_efficientnet_lite0", "no pictures among"),
    ],
)
def test_other_real_data_is_refused_with_a_reason(real_data, folder, words):
    refused(real_data / folder, words)
