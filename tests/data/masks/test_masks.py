"""Pictures and masks: layouts, what the values mean, and every flaw found by name."""

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_image

from vitreous.data.inspect import inspect_source
from vitreous.data.masks.mask_label import IGNORE
from vitreous.data.recognise import recognise
from vitreous.errors import DataError, RequestError

PHOTOGRAPH = Image.fromarray(load_sample_image("china.jpg"))
SIZE = (24, 32)
LEFT, RIGHT = np.s_[:, :16], np.s_[:, 16:]


def halves(left, right, size=SIZE):
    mask = np.zeros((*size, *np.shape(left)), np.uint8)
    mask[:, : size[1] // 2] = left
    mask[:, size[1] // 2 :] = right
    return mask


@pytest.fixture
def plant(tmp_path):
    """`plant({"images/1.jpg": "masks/1.png", ...}, mask)`: pictures and masks below a folder."""
    count = iter(range(1000))

    def plant(pairs, mask=None, mode=None, picture_size=SIZE):
        for picture, label in pairs.items():
            number = next(count)
            path = tmp_path / picture
            path.parent.mkdir(parents=True, exist_ok=True)
            left, top = 31 * number % 500, 17 * number % 300
            PHOTOGRAPH.crop((left, top, left + picture_size[1], top + picture_size[0])).save(path)
            if label is not None:
                write(tmp_path / label, halves(0, 255) if mask is None else mask, mode)
        return tmp_path

    return plant


def write(path, mask, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask)
    if mode == "P":
        image = image.convert("P") if image.mode != "P" else image
        image.putpalette([part for n in range(256) for part in (n, 255 - n, n // 2)])
    image.save(path)


def reasons(source):
    return {skipped.path: skipped.reason for skipped in source.skipped}


def test_two_levels_are_two_classes(plant):
    source = recognise(plant({f"images/{n}.jpg": f"masks/{n}.png" for n in range(4)}))
    assert (source.kind, source.label_kind) == ("pictures and masks", "mask")
    assert source.classes == ("background", "foreground")
    assert "two levels, 0 and 255" in source.why
    mask = source.read_mask(source.samples[0])
    assert (mask.dtype, mask.shape) == (np.uint8, SIZE)
    assert (mask == halves(0, 1)).all()
    assert source.samples[0].label.pixels.tolist() == [384, 384]
    assert source.samples[0].label.path == "masks/0.png"


def test_two_levels_may_be_named(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in range(2)})
    source = recognise(root, classes="membrane,cell")
    assert source.classes == ("membrane", "cell")
    assert (source.read_mask(source.samples[0]) == halves(0, 1)).all()


def test_the_value_255_beside_classes_is_none(plant):
    mask = halves(0, 2)
    mask[:4] = 255
    source = recognise(plant({"images/1.jpg": "masks/1.png", "images/2.jpg": "masks/2.png"}, mask))
    assert source.classes == ("class 0", "class 2")
    expected = halves(0, 1)
    expected[:4] = IGNORE
    assert (source.read_mask(source.samples[0]) == expected).all()
    assert source.samples[0].label.ignored == 128


def test_any_value_may_be_ignored(plant):
    root = plant({"images/1.jpg": "masks/1.png"}, halves([3], [11])[..., 0])
    write(root / "masks" / "1.png", np.concatenate([halves(3, 4), halves(11, 11)])[12:36])
    source = recognise(root, ignore=11, for_training=False)
    assert source.classes == ("class 3", "class 4")
    assert source.samples[0].label.ignored == 384


def test_parts_with_annot_folders(plant):
    pairs = {f"{s}/{s}{n}.jpg": f"{s}annot/{s}{n}.png" for s in ("train", "val", "test")
             for n in (1, 2)}  # fmt: skip
    source = recognise(plant(pairs, halves(1, 2)))
    assert {sample.path: sample.split for sample in source.samples}["val/val2.jpg"] == "val"
    assert {sample.label.path for sample in source.samples} == set(pairs.values())


@pytest.mark.parametrize(
    ("picture", "mask"),
    [
        ("images/{}.jpg", "masks/{}_mask.png"),
        ("images/train/{}.jpg", "labels/train/{}.png"),
        ("train/images/{}.jpg", "train/masks/{}.gif"),
        ("data/imgs/{}.png", "data/gt/{}.tif"),
        ("JPEGImages/{}.jpg", "SegmentationClass/{}.png"),
    ],
)
def test_folders_under_other_names(plant, picture, mask):
    source = recognise(plant({picture.format(n): mask.format(n) for n in (1, 2)}, halves(0, 1)))
    assert [sample.path for sample in source.samples] == [picture.format(n) for n in (1, 2)]


def test_palettes_are_numbers(plant):
    mask = halves(1, 2)
    source = recognise(plant({"images/1.jpg": "masks/1.png"}, mask, "P"), for_training=False)
    assert (source.read_mask(source.samples[0]) == halves(0, 1)).all()
    assert source.classes == ("class 1", "class 2")


def test_colours_with_a_table(plant):
    root = plant({f"images/{n}.png": f"masks/{n}.png" for n in (1, 2)},
                 halves((255, 0, 0), (0, 0, 0)))  # fmt: skip
    (root / "class_dict.csv").write_text("name,r,g,b\nroad,0,0,0\ncar,255,0,0\nVoid,9,9,9\n")
    source = recognise(root)
    assert source.classes == ("road", "car")
    assert "Void ignored" in source.why
    assert (source.read_mask(source.samples[0]) == halves(1, 0)).all()


def test_a_black_mask_among_colours_is_no_other_kind(plant):
    root = plant({"images/1.png": "masks/1.png", "images/2.png": "masks/2.png"},
                 halves((255, 0, 0), (0, 0, 0)))  # fmt: skip
    write(root / "masks" / "2.png", halves((0, 0, 0), (0, 0, 0)))
    (root / "classes.csv").write_text("name,red,green,blue\nroad,0,0,0\ncar,255,0,0\n")
    source = recognise(root)
    assert [sample.label.pixels.tolist() for sample in source.samples] == [[384, 384], [768, 0]]
    assert "1 pictures show nothing but 'road', such as images/2.png" in " ".join(source.warnings)


def test_colours_without_a_table_are_named_by_themselves(plant):
    source = recognise(plant({"images/1.png": "masks/1.png"}, halves((255, 0, 0), (0, 0, 9))),
                       for_training=False)  # fmt: skip
    assert source.classes == ("colour 0-0-9", "colour 255-0-0")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.txt", "road\ncar\nvoid\n"),
        ("labelmap.txt", "# label:color_rgb\nroad:0,0,0::\ncar:1,254,0::\nvoid:2,253,1::\n"),
        ("_classes.csv", "Pixel Value, Class\n0, road\n1, car\n2, void\n"),
        ("label_colors.txt", "0 255 0\troad\n1 254 0\tcar\n2 253 1\tvoid\n"),
    ],
)
def test_tables_of_several_tools(plant, name, text):
    mask = halves(0, 1)
    mask[:2] = 2
    root = plant({"images/1.jpg": "masks/1.png", "images/2.jpg": "masks/2.png"}, mask, "P")
    (root / name).write_text(text)
    source = recognise(root)
    assert source.classes == ("road", "car")
    assert source.samples[0].label.ignored == 64


def test_a_value_without_a_name_costs_its_picture(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2, 3)}, halves(0, 1))
    write(root / "masks" / "3.png", halves(0, 7))
    source = recognise(root, classes=["road", "car"])
    assert [sample.path for sample in source.samples] == ["images/1.jpg", "images/2.jpg"]
    assert reasons(source)["images/3.jpg"] == (
        "masks/3.png: class number without a name: 384 pixels have the value 7, known are 0, 1, "
        "255; add its name to the table of classes, correct the mask, or say --ignore"
    )


def test_a_mask_of_another_size(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2, 3)})
    write(root / "masks" / "2.png", halves(0, 255, (12, 32)))
    write(root / "masks" / "3.png", halves(0, 255, (32, 24)))
    found = reasons(recognise(root))
    assert found["images/2.jpg"] == (
        "masks/2.png: the mask is 32 wide and 12 high, the picture 32 and 24: make the mask anew "
        "in the picture's size"
    )
    assert "turned by its EXIF orientation?" in found["images/3.jpg"]


def test_a_missing_mask_is_not_an_empty_one(plant):
    root = plant({"images/1.jpg": "masks/1.png", "images/2.jpg": None, "images/3.jpg": None})
    write(root / "masks" / "2.png", np.zeros(SIZE, np.uint8))
    source = recognise(root)
    assert reasons(source)["images/3.jpg"] == (
        "no mask of its name: not labelled; a mask of background says 'nothing here'"
    )
    assert source.samples[1].label.pixels.tolist() == [768, 0]
    assert inspect_source(source).labels.nothing == {"all": 1}


def test_a_mask_without_its_picture(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2, 3)})
    (root / "images" / "2.jpg").unlink()
    assert reasons(recognise(root))["masks/2.png"] == "a mask without a picture of its name"


def test_two_masks_of_one_picture(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2, 3)})
    write(root / "masks" / "2.tif", halves(0, 255))
    assert reasons(recognise(root))["images/2.jpg"] == "2 masks have its name; keep one of them"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<html>", "a web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "damaged PNG"),
    ],
)
def test_a_mask_that_is_no_picture(plant, content, words):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2)})
    (root / "masks" / "2.png").write_bytes(content)
    assert words in reasons(recognise(root, for_training=False))["images/2.jpg"]


def test_a_jpeg_mask_is_refused(plant):
    root = plant({f"images/{n}.jpg": f"masks/{n}.png" for n in (1, 2)})
    Image.fromarray(halves(0, 255)).save(root / "masks" / "2.png", "JPEG")
    reason = reasons(recognise(root, for_training=False))["images/2.jpg"]
    assert "a JPEG mask, whose values are not exact; save it as PNG" in reason


def test_shades_are_no_classes(plant):
    shades = np.arange(768).reshape(SIZE).astype(np.uint8)
    with pytest.raises(DataError, match="different values: these are shades, not classes"):
        recognise(plant({"images/1.jpg": "masks/1.png"}, shades))


def test_names_that_do_not_agree(plant):
    root = plant({"images/1.jpg": "masks/a.png", "images/2.jpg": "masks/b.png"})
    with pytest.raises(DataError, match="their names do not agree; give a mask the name of its"):
        recognise(root)


def test_requests_that_do_not_fit(plant):
    root = plant({"images/1.png": "masks/1.png"}, halves((255, 0, 0), (0, 0, 0)))
    for options, words in (
        ({"ignore": 3}, "has masks in colours; name the class 'void'"),
        ({"group": "patient"}, "masks labels have no columns"),
        ({"classes": "gone.txt"}, "--classes 'gone.txt': no such file"),
        ({"task": "detect"}, "--task detect needs boxes"),
    ):
        with pytest.raises(RequestError, match=words) as caught:
            recognise(root, **options)
        assert "\n" not in str(caught.value)


def test_flags_for_masks_where_there_are_none(tmp_path):
    for name in ("ant/1.png", "ant/2.png", "bee/1.png", "bee/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PHOTOGRAPH.crop((0, 0, 9, 9)).save(tmp_path / name)
    with pytest.raises(RequestError, match="--ignore is for masks; none are found"):
        recognise(tmp_path, ignore=255)


def test_slices_are_kept_together(plant):
    root = plant({f"images/stack{s}_{n}.png": f"masks/stack{s}_{n}.png" for s in range(4)
                  for n in range(3)})  # fmt: skip
    source = recognise(root, group=r"(stack\d)_")
    assert len({sample.group for sample in source.samples}) == 4


@pytest.mark.data
def test_camvid(real_data):
    names = "Sky,Building,Pole,Road,Pavement,Tree,SignSymbol,Fence,Car,Pedestrian,Bicyclist"
    source = recognise(real_data / "camvid", classes=names, ignore=11)
    splits = [sample.split for sample in source.samples]
    assert [splits.count(part) for part in ("train", "val", "test")] == [367, 101, 233]
    total = sum(sample.label.pixels for sample in source.samples)
    ignored = sum(sample.label.ignored for sample in source.samples)
    stated = (0.158, 0.241, 0.010, 0.293, 0.067, 0.112, 0.011, 0.014, 0.046, 0.006, 0.005, 0.036)
    assert np.allclose([*total, ignored] / (total.sum() + ignored), stated, atol=0.0006)


@pytest.mark.data
def test_isbi(real_data):
    source = recognise(real_data / "isbi2012_em", classes="membrane,cell", for_training=False)
    total = sum(sample.label.pixels for sample in source.samples)
    assert len(source.samples) == 30
    assert abs(total[1] / total.sum() - 0.78) < 0.01
