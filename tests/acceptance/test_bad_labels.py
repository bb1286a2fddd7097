"""Wrong labels planted in copies of real data: each is found, with its file, and named.

In every layout one picture has one flaw, and another is right; `vitreous inspect --json` has to
name each flawed file with its reason, and to say nothing about the rest.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vitreous.data.boxes.boxes import Boxes
from vitreous.data.recognise import recognise

from .test_pictures import vitreous

pytestmark = [pytest.mark.data, pytest.mark.acceptance]

WIDTH, HEIGHT = 640, 480  # of BCCD's pictures
CLASSES = ("Platelets", "RBC", "WBC")
NOT_LABELLED = "not labelled"


@dataclass
class Planted:
    """A copy, and what has to be said: (file, part of the reason) by where it stands."""

    folder: Path
    words: tuple[str, ...] = ()  # behind `vitreous inspect FOLDER`
    skipped: list[tuple[str, str]] = field(default_factory=list)
    problems: list[tuple[str, str, str]] = field(default_factory=list)  # file, kind, reason
    findings: list[str] = field(default_factory=list)


def found_in(planted: Planted) -> dict:
    return json.loads(vitreous("inspect", planted.folder, "--json", *planted.words))


def check(planted: Planted) -> None:
    """All that was planted is named with its file, and nothing else is."""
    found = found_in(planted)
    skipped = [(one["path"], one["reason"]) for one in found["skipped"] if not one["harmless"]]
    problems = [(one["path"], one["kind"], one["reason"]) for one in found["problems"]]
    for path, reason in planted.skipped:
        assert any(p == path and reason in said for p, said in skipped), (path, reason, skipped)
    for path, kind, reason in planted.problems:
        assert any(p == path and k == kind and reason in said for p, k, said in problems), (
            path, kind, reason, problems,
        )  # fmt: skip
    for words in planted.findings:
        assert any(words in said for said in found["findings"]), (words, found["findings"])
    assert {path for path, _ in skipped} == {path for path, _ in planted.skipped}
    assert len(problems) == len(planted.problems), problems
    for _, reason in skipped:
        assert reason.count("\n") == 0


@pytest.fixture(scope="module")
def slides(real_data) -> dict[str, tuple[Path, Boxes]]:
    """Pictures of BCCD and their true boxes by name; those with a flaw of their own left out."""
    source = recognise(real_data / "bccd")
    flawed = {Path(problem.path).stem for problem in source.problems}
    return {
        Path(sample.path).stem: (source.root / sample.path, sample.label)
        for sample in source.samples
        if isinstance(sample.label, Boxes) and Path(sample.path).stem not in flawed
    }


def corners_of(boxes: Boxes) -> list[list[float]]:
    return [[int(place), *corners] for place, corners in zip(boxes.classes, boxes.corners.tolist(),
                                                             strict=True)]  # fmt: skip


def broken(boxes: Boxes) -> dict[str, list[list[float]]]:
    """The boxes of a slide with its first one wrong in a way of its own, by the way's name."""
    right = corners_of(boxes)
    kind, left, top, far, low = right[0]
    ways = {
        "swapped corners": [kind, far, low, left, top],
        "zero area": [kind, left, top, left, low],
        "outside the picture": [kind, WIDTH + left, top, WIDTH + far, low],
        "partly outside the picture": [kind, left, top, far, HEIGHT + 40],
        "the same box twice": right[-1],
    }
    return {way: [first, *right[1:]] for way, first in ways.items()}


def split_slides(slides, folder: Path) -> tuple[list[str], list[str]]:
    """24 slides copied below train/ and 6 below test/; their names, and those in test."""
    names = list(slides)[:30]
    for number, name in enumerate(names):
        target = folder / ("train" if number < 24 else "test") / f"{name}.jpg"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(slides[name][0], target)
    return names[:24], names[24:]


def copied_across(folder: Path, name: str) -> str:
    """A picture of train lies in test too, under another name; that name."""
    shutil.copy(folder / "train" / f"{name}.jpg", folder / "test" / "copied.jpg")
    return "copied"


def pascal_voc(objects: list[list], size=(WIDTH, HEIGHT)) -> str:
    """Corners from 0, written as VOC has them: pixels counted from 1, the last one within."""
    lines = []
    for kind, left, top, right, bottom in objects:
        first_x, last_x = (left + 1, right) if left < right else (left, right + 1)
        first_y, last_y = (top + 1, bottom) if top < bottom else (top, bottom + 1)
        if left == right:
            first_x = last_x = left + 1
        name = kind if isinstance(kind, str) else CLASSES[int(kind)]
        lines.append(
            f"<object><name>{name}</name><bndbox><xmin>{first_x:g}</xmin><ymin>{first_y:g}</ymin>"
            f"<xmax>{last_x:g}</xmax><ymax>{last_y:g}</ymax></bndbox></object>"
        )
    return (
        f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"
        + "".join(lines) + "</annotation>"
    )  # fmt: skip


def test_pascal_voc(slides, tmp_path):
    folder = tmp_path / "voc"
    train, test = split_slides(slides, folder)
    for part, names in (("train", train), ("test", test)):
        for name in names:
            (folder / part / f"{name}.xml").write_text(pascal_voc(corners_of(slides[name][1])))
    planted = Planted(folder)
    free = iter(train)

    def write(text: str) -> str:
        name = next(free)
        (folder / "train" / f"{name}.xml").write_text(text)
        return f"train/{name}"

    for way in broken(slides[train[0]][1]):
        stem = write(pascal_voc(broken(slides[train[len(planted.problems)]][1])[way]))
        planted.problems.append((f"{stem}.xml", way, ""))
    planted.findings += [f"{way}: 1 found" for way in broken(slides[train[0]][1])]
    whole = corners_of(slides[train[6]][1])
    for text, reason in (
        (pascal_voc([["", *whole[0][1:]]]), "object 1 has no name"),
        (pascal_voc(whole).replace("<xmin>", "<xmin>x"), "no number; correct it"),
        (pascal_voc(whole, size=(500, 375)), "says 500 wide and 375 high"),
        (pascal_voc(whole, size=(HEIGHT, WIDTH)), "turned by its EXIF orientation?"),
        (pascal_voc(whole)[:-20], "xml"),
    ):
        stem = write(text)
        planted.skipped.append((f"{stem}.jpg", reason))
    nothing = write(pascal_voc([]))
    planted.findings.append(f"nothing on them, such as {nothing}.jpg")
    missing = next(free)
    (folder / "train" / f"{missing}.xml").unlink()
    planted.skipped.append((f"train/{missing}.jpg", NOT_LABELLED))
    (folder / "train" / "lonely.xml").write_text(pascal_voc(whole))
    planted.skipped.append(("train/lonely.xml", "a label without a picture"))
    copy = copied_across(folder, train[-1])
    (folder / "test" / f"{copy}.xml").write_text(pascal_voc(corners_of(slides[train[-1]][1])))
    planted.findings.append("the given split leaks: 1 pair")
    check(planted)


def test_pascal_voc_by_its_lists(real_data, tmp_path):
    """The whole of BCCD: its own two flaws, and a name that is put into two lists."""
    folder = tmp_path / "bccd"
    shutil.copytree(real_data / "bccd", folder)
    lists = folder / "ImageSets" / "Main"
    twice = (lists / "train.txt").read_text().split()[0]
    with (lists / "test.txt").open("a") as file:
        file.write(f"{twice}\nnobody\n")
    planted = Planted(folder)
    planted.problems = [
        (f"Annotations/{name}.xml", "zero area", "left out; draw it anew or remove it")
        for name in ("BloodImage_00338", "BloodImage_00343")
    ]
    planted.problems.append(
        ("ImageSets/Main/train.txt", "in two parts of the split", f"{twice} is in train and test")
    )
    planted.skipped = [("nobody", "named in ImageSets/Main/test.txt, but there is no such picture")]
    check(planted)


def test_coco(slides, tmp_path):
    folder = tmp_path / "coco"
    train, test = split_slides(slides, folder)
    planted = Planted(folder)
    wholes = {part: {"images": [], "annotations": [], "categories": [
        {"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)]}
        for part in ("train", "test")}  # fmt: skip

    def add(part: str, name: str, boxes: list[list[float]], **image) -> list[dict]:
        whole = wholes[part]
        number = len(whole["images"])
        whole["images"].append({"id": number, "file_name": f"{name}.jpg", "width": WIDTH,
                                "height": HEIGHT, **image})  # fmt: skip
        added = [
            {"id": 1000 * number + place, "image_id": number, "category_id": int(kind) + 1,
             "iscrowd": 0, "bbox": [left, top, right - left, bottom - top]}
            for place, (kind, left, top, right, bottom) in enumerate(boxes)
        ]  # fmt: skip
        whole["annotations"] += added
        return added

    free = iter(train)
    file = "train/_annotations.coco.json"
    for way in broken(slides[train[0]][1]):
        name = next(free)
        add("train", name, broken(slides[name][1])[way])
        planted.problems.append((file, way, ""))
        planted.findings.append(f"{way}: 1 found, such as {file}")
    name = next(free)
    add("train", name, corners_of(slides[name][1]))[0]["category_id"] = 9
    planted.skipped.append((f"train/{name}.jpg", "class number without a name"))
    name = next(free)
    add("train", name, corners_of(slides[name][1]))[0]["bbox"] = [1, 2, "x", 4]
    planted.skipped.append((f"train/{name}.jpg", "has no bbox of four numbers"))
    name = next(free)
    add("train", name, corners_of(slides[name][1]), width=500, height=375)
    planted.skipped.append((f"train/{name}.jpg", "says 500 wide and 375 high"))
    add("train", nothing := next(free), [])
    planted.findings.append(f"nothing on them, such as train/{nothing}.jpg")
    planted.skipped.append((f"train/{next(free)}.jpg", NOT_LABELLED))  # in no file
    lost = {"id": 77, "image_id": 4242, "category_id": 1, "bbox": [1, 2, 3, 4]}
    wholes["train"]["annotations"].append(lost)
    planted.problems.append((file, "label without a picture", "image_id 4242"))
    for name in free:
        add("train", name, corners_of(slides[name][1]))
    add("train", "nobody", [])
    planted.skipped.append(("nobody.jpg", "but there is no such picture"))
    for name in test:
        add("test", name, corners_of(slides[name][1]))
    add("test", copied_across(folder, train[-1]), corners_of(slides[train[-1]][1]))
    planted.findings.append("the given split leaks: 1 pair")
    for part, whole in wholes.items():
        (folder / part / "_annotations.coco.json").write_text(json.dumps(whole))
    check(planted)


def yolo_lines(boxes: list[list[float]]) -> str:
    return "".join(
        f"{int(kind)} {(left + right) / 2 / WIDTH:.9f} {(top + bottom) / 2 / HEIGHT:.9f} "
        f"{(right - left) / WIDTH:.9f} {(bottom - top) / HEIGHT:.9f}\n"
        for kind, left, top, right, bottom in boxes
    )


def test_yolo(slides, tmp_path):
    folder = tmp_path / "yolo"
    train, test = split_slides(slides, folder)
    names = ", ".join(CLASSES)
    (folder / "data.yaml").write_text(f"train: train\ntest: test\nval: test\nnames: [{names}]\n")
    planted = Planted(folder)
    for part, some in (("train", train), ("test", test)):
        for name in some:
            text = yolo_lines(corners_of(slides[name][1]))
            (folder / part / f"{name}.txt").write_text(text)
    free = iter(train)

    def write(text: str) -> str:
        name = next(free)
        (folder / "train" / f"{name}.txt").write_text(text)
        return f"train/{name}"

    for way in broken(slides[train[0]][1]):
        stem = write(yolo_lines(broken(slides[train[len(planted.problems)]][1])[way]))
        planted.problems.append((f"{stem}.txt", way, ""))
        planted.findings.append(f"{way}: 1 found, such as {stem}.txt")
    for text, reason in (
        ("7 0.5 0.5 0.1 0.1\n", "class number without a name: line 1 has class 7"),
        ("0 0.5 0.5 0.1\n", "line 1 has 4 numbers"),
        ("RBC 0.5 0.5 0.1 0.1\n", "numbers are needed"),
    ):
        planted.skipped.append((f"{write(text)}.jpg", reason))
    stem = write("0 320 240 50 50\n")
    planted.problems.append((f"{stem}.txt", "outside the picture", "are these pixels?"))
    planted.skipped.append((f"{stem}.jpg", "none of its 1 boxes can be used"))
    planted.findings.remove(next(f for f in planted.findings if f.startswith("outside the")))
    nothing = write("")
    planted.findings += [f"nothing on them, such as {nothing}.jpg", "outside the picture: 2 found"]
    missing = next(free)
    (folder / "train" / f"{missing}.txt").unlink()
    planted.skipped.append((f"train/{missing}.jpg", NOT_LABELLED))
    copy = copied_across(folder, train[-1])
    (folder / "test" / f"{copy}.txt").write_text(yolo_lines(corners_of(slides[train[-1]][1])))
    planted.findings.append("the given split leaks: 1 pair")
    check(planted)


def test_a_table(slides, tmp_path):
    folder = tmp_path / "table"
    train, test = split_slides(slides, folder)
    lines = ["path,class,xmin,ymin,xmax,ymax,split"]
    planted = Planted(folder)

    def add(path: str, boxes: list[list]) -> None:
        lines.extend(
            ",".join([path, CLASSES[int(kind)], *(f"{side}" for side in sides), path.split("/")[0]])
            for kind, *sides in boxes
        )

    free = iter(train)
    for way in broken(slides[train[0]][1]):
        name = next(free)
        add(f"train/{name}.jpg", broken(slides[name][1])[way])
        planted.problems.append(("boxes.csv", way, ""))
        planted.findings.append(f"{way}: 1 found, such as boxes.csv, line")
    name = next(free)
    add(f"train/{name}.jpg", [["0", "x", 2, 30, 40]])
    planted.skipped.append((f"train/{name}.jpg", "number"))
    nothing = next(free)
    lines.append(f"train/{nothing}.jpg,,,,,,train")
    planted.findings.append(f"nothing on them, such as train/{nothing}.jpg")
    planted.skipped.append((f"train/{next(free)}.jpg", NOT_LABELLED))
    add("train/nobody.jpg", corners_of(slides[name][1]))
    planted.skipped.append(("train/nobody.jpg", ""))
    for name in free:
        add(f"train/{name}.jpg", corners_of(slides[name][1]))
    for name in test:
        add(f"test/{name}.jpg", corners_of(slides[name][1]))
    add(f"test/{copied_across(folder, train[-1])}.jpg", corners_of(slides[train[-1]][1]))
    planted.findings.append("the given split leaks: 1 pair")
    (folder / "boxes.csv").write_text("\n".join(lines) + "\n")
    check(planted)


STREETS = ("Sky,Building,Pole,Road,Pavement,Tree,SignSymbol,Fence,Car,Pedestrian,Bicyclist,"
           "Unlabelled")  # fmt: skip


@pytest.fixture
def streets(real_data, tmp_path) -> Path:
    """16 streets to learn from and 4 to test on, with their masks."""
    folder = tmp_path / "streets"
    for part, count in (("train", 16), ("test", 4)):
        pictures = sorted((real_data / "camvid" / part).glob("*.jpg"))[::9][:count]
        for picture in pictures:
            for suffix, ending in (("", ".jpg"), ("annot", ".png")):
                target = folder / f"{part}{suffix}" / f"{picture.stem}{ending}"
                target.parent.mkdir(parents=True, exist_ok=True)
                source = real_data / "camvid" / f"{part}{suffix}" / f"{picture.stem}{ending}"
                shutil.copy(source, target)
    return folder


def mask_of(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_index_masks(streets):
    planted = Planted(streets, ("--classes", STREETS))
    names = sorted(path.stem for path in (streets / "train").iterdir())
    free = iter(names)

    def save(mask: np.ndarray) -> str:
        name = next(free)
        Image.fromarray(mask).save(streets / "trainannot" / f"{name}.png")
        return name

    right = mask_of(streets / "trainannot" / f"{names[0]}.png")
    for mask, reason in (
        (right[::2, ::2], "the mask is 240 wide and 180 high, the picture 480 and 360"),
        (right.T.copy(), "turned by its EXIF orientation?"),
        (np.where(right == 3, 77, right).astype(np.uint8), "class number without a name"),
    ):
        name = save(mask)
        planted.skipped.append((f"train/{name}.jpg", reason))
    name = next(free)
    path = streets / "trainannot" / f"{name}.png"
    Image.fromarray(mask_of(path)).save(path.with_suffix(".jpg"), quality=95)
    path.unlink()
    planted.skipped.append((f"train/{name}.jpg", "whose values are not exact; save it as PNG"))
    name = next(free)
    path = streets / "trainannot" / f"{name}.png"
    path.write_bytes(path.read_bytes()[:500])
    planted.skipped.append((f"train/{name}.jpg", "damaged PNG"))
    nothing = save(np.zeros_like(right))
    planted.findings.append(f"show nothing but 'Sky', such as train/{nothing}.jpg")
    ignored = save(np.full_like(right, 11))
    planted.findings.append(f"ignored everywhere, such as that of train/{ignored}.jpg")
    name = next(free)
    (streets / "trainannot" / f"{name}.png").unlink()
    planted.skipped.append((f"train/{name}.jpg", NOT_LABELLED))
    Image.fromarray(right).save(streets / "trainannot" / "lonely.png")
    planted.skipped.append(("trainannot/lonely.png", "a mask without a picture of its name"))
    shutil.copy(streets / "train" / f"{names[-1]}.jpg", streets / "test" / "copied.jpg")
    shutil.copy(streets / "trainannot" / f"{names[-1]}.png", streets / "testannot" / "copied.png")
    planted.findings.append("the given split leaks: 1 pair")
    check(planted)


def test_colour_masks(streets):
    """The same masks in colours, with a table of them, and a colour that is not in it."""
    names = STREETS.split(",")
    colours = np.array([[17 * n, 255 - 20 * n, 90 + 7 * n] for n in range(12)], np.uint8)
    rows = [f"{name},{r},{g},{b}" for name, (r, g, b) in zip(names, colours, strict=True)]
    (streets / "class_dict.csv").write_text("name,r,g,b\n" + "\n".join(rows) + "\n")
    for path in [*(streets / "trainannot").iterdir(), *(streets / "testannot").iterdir()]:
        Image.fromarray(colours[mask_of(path)]).save(path)
    name = sorted(path.stem for path in (streets / "train").iterdir())[3]
    path = streets / "trainannot" / f"{name}.png"
    mask = mask_of(path).copy()
    mask[:5, :7] = (1, 2, 3)
    Image.fromarray(mask).save(path)
    planted = Planted(streets)
    planted.skipped = [
        (f"train/{name}.jpg", "class number without a name: 35 pixels have the value 1-2-3")
    ]
    check(planted)


def test_masks_of_two_levels(real_data, tmp_path):
    """A grey value between the levels is a class without a name; shades throughout are no masks."""
    folder = tmp_path / "cells"
    for kind in ("images", "masks"):
        shutil.copytree(real_data / "isbi2012_em" / kind, folder / kind)
    path = folder / "masks" / "04.png"
    mask = mask_of(path).copy()
    mask[10, :20] = 128
    Image.fromarray(mask).save(path)
    planted = Planted(folder, ("--classes", "membrane,cell"))
    planted.skipped = [("images/04.png", "class number without a name: ")]
    planted.findings = ["if they are slices of one stack"]
    check(planted)
    picture = np.asarray(Image.open(folder / "images" / "07.png"))
    Image.fromarray(picture).save(folder / "masks" / "07.png")
    import subprocess
    import sys

    call = [sys.executable, "-m", "vitreous", "inspect", str(folder)]
    done = subprocess.run(call, capture_output=True, text=True)
    assert done.returncode == 1
    assert "these are shades, not classes" in " ".join(done.stderr.split())


def test_coco_regions(slides, tmp_path):
    """Outlines: a class number without a name, a polygon of two corners, and a missing file."""
    folder = tmp_path / "regions"
    folder.mkdir()
    names = list(slides)[:12]
    whole = {"images": [], "annotations": [], "categories": [
        {"id": n, "name": name} for n, name in enumerate(CLASSES, start=1)]}  # fmt: skip
    for number, name in enumerate(names):
        shutil.copy(slides[name][0], folder / f"{name}.jpg")
        whole["images"].append({"id": number, "file_name": f"{name}.jpg", "width": WIDTH,
                                "height": HEIGHT})  # fmt: skip
        for place, (kind, left, top, right, bottom) in enumerate(corners_of(slides[name][1])):
            middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
            diamond = [left, middle_y, middle_x, top, right, middle_y, middle_x, bottom]
            whole["annotations"].append({
                "id": 1000 * number + place, "image_id": number, "category_id": int(kind) + 1,
                "iscrowd": 0, "segmentation": [diamond],
            })  # fmt: skip
    planted = Planted(folder, ("--task", "segment"))
    by_picture = {n: [a for a in whole["annotations"] if a["image_id"] == n] for n in range(12)}
    by_picture[2][0]["category_id"] = 9
    planted.skipped.append((f"{names[2]}.jpg", "class number without a name"))
    by_picture[3][0]["segmentation"] = [[1, 2, 3, 4]]
    planted.skipped.append((f"{names[3]}.jpg", "annotation 3000 has a polygon of 4 numbers"))
    by_picture[4][0]["segmentation"] = {"counts": [5, 5], "size": [HEIGHT, WIDTH]}
    planted.skipped.append((f"{names[4]}.jpg", "run lengths that do not add up"))
    whole["annotations"] = [a for a in whole["annotations"] if a["image_id"] != 5]
    planted.findings.append(f"show nothing but 'background', such as {names[5]}.jpg")
    whole["images"].append({"id": 99, "file_name": "nobody.jpg"})
    planted.skipped.append(("nobody.jpg", "but there is no such picture"))
    (folder / "_annotations.coco.json").write_text(json.dumps(whole))
    check(planted)
