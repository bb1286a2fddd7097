"""Inspection: what is counted, what is found broken, what training would do."""

import json

import numpy as np
import pytest
from PIL import Image

from vitreous.data.arrays import from_arrays
from vitreous.data.inspect import general_reason, inspect_source, reasons
from vitreous.data.recognise import recognise
from vitreous.errors import DataError


@pytest.fixture
def animals(plant):
    """30 ants and 30 bees, decodable and alike."""
    return plant(*(f"{c}/{n:02d}.png" for c in ("ant", "bee") for n in range(30)))


def test_sound_data_has_nothing_to_complain_about(animals):
    inspection = inspect_source(recognise(animals))
    assert inspection.counts == {"all": {"ant": 30, "bee": 30}}
    assert (inspection.pictures, inspection.decoded, inspection.groups) == (60, 60, None)
    assert (inspection.findings, inspection.skipped) == ((), ())
    sizes = inspection.sizes
    assert (sizes.smallest, sizes.median, sizes.largest) == ((24, 32),) * 3
    assert inspection.channels == {"colour": 60}
    assert inspection.forms == {"PNG RGB 8 bit": 60}
    plan = inspection.plan
    assert plan.error is None
    assert plan.task == "classify"
    assert plan.input_size == (3, 24, 32)
    assert sum(plan.pictures.values()) == 60
    assert {split: sum(c.values()) for split, c in plan.counts.items()} == plan.pictures


def plant_bad(root, encode, part):
    good = encode(part(1, (200, 300)), "JPEG")
    bad = {
        "ant/truncated.jpg": good[: len(good) // 2],
        "ant/empty.jpg": b"",
        "bee/text.png": b"no picture at all",
        "bee/damaged.png": encode(part(2), "PNG")[:60] + bytes(40) + encode(part(2), "PNG")[100:],
    }
    for name, content in bad.items():
        (root / name).write_bytes(content)
    (root / "bee" / "notes.txt").write_text("a note")
    (root / "bee" / ".DS_Store").write_bytes(b"x")
    (root / "ant" / "misnamed.jpg").write_bytes(encode(part(3), "PNG"))
    return bad


def test_every_bad_picture_is_found_by_name(animals, encode, part):
    bad = plant_bad(animals, encode, part)
    inspection = inspect_source(recognise(animals))
    found = {item.path: item for item in inspection.skipped}
    assert set(found) == {*bad, "bee/notes.txt", "bee/.DS_Store"}
    assert found["ant/truncated.jpg"].reason.startswith("truncated JPEG")
    assert found["ant/empty.jpg"].reason == "the file is empty (0 bytes)"
    assert found["bee/text.png"].reason == "not a picture: text"
    assert found["bee/damaged.png"].reason.startswith("damaged PNG")
    assert [item.path for item in inspection.skipped if item.harmless] == ["bee/.DS_Store"]
    text = " | ".join(inspection.findings)
    assert "5 of 66 files cannot be used (7.6%); over 5 %, so `train` stops" in text
    assert "1 files have another suffix than what they hold (ant/misnamed.jpg is PNG)" in text
    assert sum(inspection.plan.pictures.values()) == 61


def test_a_sample_is_said_to_be_one(animals, encode, part):
    plant_bad(animals, encode, part)
    inspection = inspect_source(recognise(animals), sample_at_most=10)
    assert inspection.decoded == 10
    whole = inspect_source(recognise(animals), sample_at_most=None)
    assert whole.decoded == 65


def test_broken_ones_in_a_sample_are_projected(animals):
    for path in sorted(animals.glob("*/*.png"))[::2]:
        path.write_bytes(b"broken")
    findings = inspect_source(recognise(animals), sample_at_most=20).findings
    assert any("of 20 pictures tried are broken: about" in finding for finding in findings)


def test_groups_splits_and_numbers(plant):
    root = plant(*(f"{n}.png" for n in range(40)))
    lines = ["path,age,patient,split"]
    lines += [f"{n}.png,{20 + n / 2},p{n // 4},{'train' if n < 32 else 'test'}" for n in range(40)]
    (root / "table.csv").write_text("\n".join(lines))
    inspection = inspect_source(recognise(root, task="regress"))
    assert inspection.numbers == {"least": 20.0, "median": 29.75, "greatest": 39.5}
    assert inspection.groups == 10
    assert inspection.counts == {"train": {"pictures": 32}, "test": {"pictures": 8}}
    assert inspection.plan.task == "regress"
    assert inspection.plan.pictures["test"] == 8


def test_several_classes_are_counted_each(plant):
    root = plant(*(f"{n}.png" for n in range(30)))
    lines = ["path,label", *(f"{n}.png,{'a|b' if n % 3 else 'a'}" for n in range(30))]
    (root / "table.csv").write_text("\n".join(lines))
    inspection = inspect_source(recognise(root))
    assert inspection.counts == {"all": {"a": 30, "b": 20}}
    assert inspection.plan.task == "classify-multilabel"
    assert sum(inspection.plan.pictures.values()) == 30


def findings_of(pixels, labels):
    return " | ".join(inspect_source(from_arrays(pixels, labels)).findings)


def test_odd_classes_and_sizes_are_said():
    pixels = np.random.default_rng(0).integers(0, 256, (60, 12, 40), dtype=np.uint8)
    text = findings_of(pixels, ["common"] * 52 + ["rare"] * 8)
    assert "classes are unequal: 52 of 'common', 8 of 'rare'" in text
    assert "classes with few pictures: 'rare' (8)" in text
    assert "60 pictures have a side shorter than 16 pixels" in text
    assert "unequal" not in findings_of(pixels, ["a", "b"] * 30)


def test_forms_are_said(animals, encode, part):
    (animals / "ant" / "deep.png").write_bytes(
        encode(Image.fromarray(np.full((30, 30), 4000, np.uint16)), "PNG")
    )
    clear = part(5)
    clear.putalpha(100)
    (animals / "ant" / "clear.png").write_bytes(encode(clear, "PNG"))
    (animals / "bee" / "print.jpg").write_bytes(encode(part(6).convert("CMYK"), "JPEG"))
    text = " | ".join(inspect_source(recognise(animals)).findings)
    assert "1 pictures have 16 bits: the whole range is brought to 8 bits" in text
    assert "1 pictures have transparent parts: laid on white" in text
    assert "1 pictures are CMYK" in text
    assert "grey and colour are mixed" in text
    assert "sizes differ (2 different ones)" in text


def test_what_training_would_refuse_is_said(plant, encode, part):
    root = plant(*(f"{c}/{n}.png" for c in ("ant", "bee") for n in (1, 2)))
    for path in root.glob("bee/*.png"):
        path.write_bytes(b"broken")
    plan = inspect_source(recognise(root)).plan
    assert plan.error is not None
    assert "\n" not in plan.error
    for path in root.glob("*/*.png"):
        path.write_bytes(b"broken")
    inspection = inspect_source(recognise(root))
    assert inspection.sizes is None
    assert "none of 4 pictures looked at can be read" in (inspection.plan.error or "")


def test_json_holds_all_of_it(animals, encode, part):
    plant_bad(animals, encode, part)
    inspection = inspect_source(recognise(animals))
    read = json.loads(json.dumps(inspection.to_json(), allow_nan=False))
    assert read["plan"]["input_size"] == list(inspection.plan.input_size)
    assert read["skipped_reasons"]["not a picture: text"] == 2
    assert {item["path"] for item in read["skipped"]} == {i.path for i in inspection.skipped}
    assert set(read) > {"kind", "why", "counts", "sizes", "findings", "plan", "decoded"}


def test_reasons_are_counted_without_what_is_particular():
    assert general_reason("line 7 of the table: file not found") == "file not found"
    assert general_reason("damaged PNG: bad header checksum in b'IHDR'") == "damaged PNG"
    assert general_reason("not a picture: text") == "not a picture: text"


def test_progress_reaches_the_end(animals):
    told = []
    inspect_source(recognise(animals), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (60, 60)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_reasons_by_harm(animals, encode, part):
    plant_bad(animals, encode, part)
    skipped = inspect_source(recognise(animals)).skipped
    assert reasons(skipped, harmless=True) == {"hidden or system file": 1}
    assert sum(reasons(skipped, harmless=False).values()) == 5


def test_reading_errors_of_containers_are_by_name():
    source = from_arrays(np.zeros((4, 8, 8), np.uint8), ["a", "b"] * 2)

    def broken(sample, minimum_side=None):
        raise DataError(f"{sample.path}: damaged")

    from dataclasses import replace

    inspection = inspect_source(replace(source, read=broken))
    assert [item.path for item in inspection.skipped] == [f"arrays#{n}" for n in range(4)]


@pytest.mark.data
def test_hymenoptera(real_data):
    inspection = inspect_source(recognise(real_data / "hymenoptera"))
    assert inspection.counts["test"] == {"ants": 70, "bees": 83}
    assert inspection.decoded == 397
    assert inspection.skipped == ()
    assert inspection.plan.pictures["test"] == 153
