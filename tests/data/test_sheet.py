"""The contact sheet: the label lies where the thing is, in its class's colour."""

import numpy as np
import pytest
from PIL import Image

from vitreous.data.recognise import recognise
from vitreous.data.sheet import SIDE, class_colours, draw_sheet, write_sheet
from vitreous.errors import RequestError

GREY = (90, 90, 90)


def grey(path, size=(45, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size[::-1], GREY).save(path)


def places_of(colour, image):
    """Where a colour is: left, top, right, bottom."""
    rows, columns = np.nonzero((np.asarray(image) == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.fixture
def boxes(tmp_path):
    grey(tmp_path / "a.png")
    grey(tmp_path / "b.png")
    (tmp_path / "boxes.csv").write_text(
        "path,class,left,top,right,bottom\na.png,a,10,20,40,35\nb.png,,,,,\n"
    )
    return recognise(tmp_path, for_training=False)


def test_a_box_is_drawn_around_its_place(boxes):
    sheet = draw_sheet(boxes)
    assert sheet.paths == ("a.png", "b.png")
    cell = sheet.image.crop((8, 8, 8 + SIDE, 8 + 270))
    assert places_of(class_colours(1)[0], cell) == (60, 120, 240, 210)  # six times the size
    other = np.asarray(sheet.image.crop((16 + SIDE, 8, 16 + 2 * SIDE, 8 + 270)))
    assert (other == GREY).all()


def test_a_mask_covers_its_pixels_and_spares_the_ignored(tmp_path):
    grey(tmp_path / "images" / "1.png")
    mask = np.zeros((45, 60), np.uint8)
    mask[15:30, 20:40] = 1
    mask[:5] = 255
    (tmp_path / "masks").mkdir()
    Image.fromarray(mask).save(tmp_path / "masks" / "1.png")
    source = recognise(tmp_path, classes="road,car", for_training=False)
    image = draw_sheet(source).image
    road, car = (tuple((90 + part) // 2 for part in colour) for colour in class_colours(2))
    assert image.getpixel((8 + 3, 8 + 3)) == GREY
    assert image.getpixel((8 + 6 * 30, 8 + 6 * 20)) == car
    assert image.getpixel((8 + 6 * 10, 8 + 6 * 40)) == road


def test_every_class_is_on_the_sheet(tmp_path):
    lines = ["path,class,left,top,right,bottom"]
    for number in range(40):
        grey(tmp_path / f"{number:02}.png", (6, 6))
        lines.append(f"{number:02}.png,{'rare' if number == 17 else 'usual'},1,1,5,5")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    assert "17.png" in draw_sheet(recognise(tmp_path), pictures=8).paths
    assert len(draw_sheet(recognise(tmp_path), pictures=8).paths) == 8


def test_a_picture_that_cannot_be_read_is_said_on_the_sheet(boxes, tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    assert draw_sheet(boxes).image.getpixel((8 + 20, 8 + 20)) == (211, 211, 211)


def test_the_sheet_is_a_png(boxes, tmp_path):
    write_sheet(boxes, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.format == "PNG"
    with pytest.raises(RequestError, match=r"--sheet .*sheet.jpg: call it .png"):
        write_sheet(boxes, tmp_path / "sheet.jpg")


def test_colours_differ():
    assert len(set(class_colours(60))) == 60
    assert class_colours(3) == class_colours(60)[:3]
