"""Scans looked through in three planes: right sides, right voxels, by mouse and by keyboard."""

import re

import numpy as np
import pytest
from tests.made_scans import affine_of, body
from tests.report.test_scan_shown import volume_of

from vitreous.report.scan_pages import ListedScan, scan_page
from vitreous.report.scan_shown import scan_shown

from .pages import PHONE, SERIOUS, WIDE

pytestmark = pytest.mark.browser
SHAPE = (30, 26, 16)  # right, front, head
BRIGHT = (24, 6, 12)  # right of the middle, behind it, above it


@pytest.fixture(scope="module")
def page_of_scan(tmp_path_factory):
    values = body(SHAPE, 5) / 20
    values[BRIGHT] = 500.0
    volume = volume_of(values, affine_of((1.0, 1.0, 2.0), (-10.0, 0.0, 0.0)))
    truth, answer = np.zeros((2, *volume.values.shape[1:]), np.uint8)
    truth[8:14, 4:10, 20:26] = 1
    answer[8:14, 4:10, 18:24] = 1
    answer[2, 2, 2] = 2
    shown = scan_shown(volume, {"truth": truth, "answer": answer}, ("none", "front", "back"))
    shown["point"] = [BRIGHT[2], BRIGHT[1], BRIGHT[0]]
    listed = ListedScan("a.nii.gz", {"front": 1.0, "back": 0.1}, 0.8, "pages/a.html", None)
    path = tmp_path_factory.mktemp("viewer") / "a.html"
    path.write_text(scan_page(listed, shown))
    return path


@pytest.fixture(scope="module")
def opened(browser, page_of_scan):
    """One page for all tests; each leaves the cross where it likes."""
    context = browser.new_context(viewport=WIDE)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(page_of_scan.as_uri())
    page.wait_for_selector(".planes canvas")
    yield page
    context.close()


def cross_at(page, depth, height, width):
    """Put the cross on a voxel, from 0, with the keyboard alone."""
    for name, place in (("axial", depth), ("coronal", height), ("sagittal", width)):
        canvas = page.locator(f"canvas[data-plane={name}]")
        canvas.press("Home")
        for _ in range(place // 10):
            canvas.press("PageUp")
        for _ in range(place % 10):
            canvas.press("ArrowUp")


def said(page):
    return page.inner_text(".plane-said")


def brightest(page, name):
    """Where a plane is brightest, as shares of its width and height; without letters and bar."""
    return page.evaluate(
        """name => {
          const canvas = document.querySelector(`canvas[data-plane=${name}]`);
          const edge = Math.round(18 * devicePixelRatio);
          const [w, h] = [canvas.width - 2 * edge, canvas.height - 2 * edge];
          const cells = canvas.getContext("2d").getImageData(edge, edge, w, h).data;
          let [best, at] = [-1, 0];
          for (let i = 0; i < w * Math.floor(0.88 * h); i += 1) {
            const value = cells[4 * i] + cells[4 * i + 1] + cells[4 * i + 2];
            if (value > best) [best, at] = [value, i];
          }
          return [(at % w) / w, Math.floor(at / w) / h];
        }""",
        name,
    )


def test_nothing_is_asked_elsewhere_and_nothing_complains(opened, page_of_scan):
    assert opened.complaints == []
    assert [url for url in opened.asked if not url.startswith("data:")] == [page_of_scan.as_uri()]


def test_each_plane_shows_the_voxel_on_its_side(opened):
    """Right of the body is on the left of the picture; up is the front, or the head."""
    boxes = opened.locator(".plane-controls input[type=checkbox]")
    for box in boxes.all():
        box.uncheck()
    opened.locator("input[type=range] >> nth=0").fill("400")  # the one voxel is white alone
    opened.locator("input[type=range] >> nth=1").fill("100")
    cross_at(opened, BRIGHT[2], BRIGHT[1], BRIGHT[0])
    wanted = {
        "axial": (1 - (BRIGHT[0] + 0.5) / SHAPE[0], 1 - (BRIGHT[1] + 0.5) / SHAPE[1]),
        "coronal": (1 - (BRIGHT[0] + 0.5) / SHAPE[0], 1 - (BRIGHT[2] + 0.5) / SHAPE[2]),
        "sagittal": (1 - (BRIGHT[1] + 0.5) / SHAPE[1], 1 - (BRIGHT[2] + 0.5) / SHAPE[2]),
    }
    for name, place in wanted.items():
        assert brightest(opened, name) == pytest.approx(place, abs=0.06), name
    for box in boxes.all():
        box.check()
    opened.get_by_role("button", name="as at first").click()


def test_under_the_cross_stand_voxel_place_value_and_classes(opened):
    cross_at(opened, BRIGHT[2], BRIGHT[1], BRIGHT[0])
    words = said(opened)
    assert "voxel 13, 7, 25 (depth, height, width)" in words
    assert "14.0 mm right, 6.0 mm to the front, 24.0 mm to the head" in words
    assert "value 500" in words
    assert "truth: front" in words
    assert "answer: background" in words
    cross_at(opened, 2, 2, 2)
    assert "truth: background" in said(opened)
    assert "answer: back" in said(opened)


def test_a_click_moves_the_cross_to_the_voxel_that_is_there(opened):
    cross_at(opened, 5, 5, 5)
    canvas = opened.locator("canvas[data-plane=coronal]")
    box = canvas.bounding_box()
    wide, tall = box["width"] - 36, box["height"] - 36
    canvas.click(position={"x": 18 + wide * 10.5 / SHAPE[0], "y": 18 + tall * 3.5 / SHAPE[2]})
    assert f"voxel {SHAPE[2] - 3}, 6, {SHAPE[0] - 10} " in said(opened)


def test_keys_stay_within_the_scan_and_are_told_to_screen_readers(opened):
    canvas = opened.locator("canvas[data-plane=sagittal]")
    canvas.press("End")
    canvas.press("ArrowUp")
    assert canvas.get_attribute("aria-valuenow") == canvas.get_attribute("aria-valuemax") == "30"
    assert canvas.get_attribute("aria-valuetext") == "30 of 30, 29.0 mm"
    canvas.press("PageDown")
    assert canvas.get_attribute("aria-valuenow") == "20"
    canvas.press("2")
    assert not opened.locator("input[type=checkbox] >> nth=1").is_checked()
    canvas.press("2")
    assert opened.locator("input[type=checkbox] >> nth=1").is_checked()


def test_millimetres_are_alike_in_all_planes(opened):
    sizes = {
        name: opened.locator(f"canvas[data-plane={name}]").bounding_box()
        for name in ("axial", "coronal", "sagittal")
    }
    mm = {"axial": (30, 26), "coronal": (30, 32), "sagittal": (26, 32)}
    scales = [
        (sizes[name][side] - 36) / length
        for name, both in mm.items()
        for side, length in zip(("width", "height"), both, strict=True)
    ]
    assert scales == pytest.approx([scales[0]] * 6, rel=0.02)


def test_the_window_changes_what_is_black_and_white(opened):
    cross_at(opened, 5, 5, 5)
    mean = """() => {
      const canvas = document.querySelector("canvas[data-plane=axial]");
      const cells = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      return cells.reduce((sum, value) => sum + value, 0) / cells.length;
    }"""
    before = opened.evaluate(mean)
    opened.locator("input[type=range] >> nth=0").fill("450")
    darker = opened.evaluate(mean)
    assert darker < before - 5
    opened.get_by_role("button", name="as at first").click()
    assert opened.evaluate(mean) == pytest.approx(before, abs=1.0)


def test_truth_is_outlined_and_the_answer_is_filled(opened):
    cross_at(opened, 10, 6, 22)
    count = """colour => {
      const canvas = document.querySelector("canvas[data-plane=axial]");
      const cells = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      let found = 0;
      for (let i = 0; i < cells.length; i += 4)
        found += Math.abs(cells[i] - colour[0]) + Math.abs(cells[i + 1] - colour[1])
          + Math.abs(cells[i + 2] - colour[2]) < 40;
      return found;
    }"""
    colour = [86, 180, 233]
    opened.locator("input[type=range] >> nth=2").fill("1")
    boxes = opened.locator("input[type=checkbox]")
    both = opened.evaluate(count, colour)
    boxes.nth(1).uncheck()
    outline = opened.evaluate(count, colour)
    boxes.nth(0).uncheck()
    none = opened.evaluate(count, colour)
    boxes.nth(1).check()
    filled = opened.evaluate(count, colour)
    boxes.nth(0).check()
    assert none == 0
    assert 0 < outline < min(filled, both)


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "dark"), (PHONE, "light")])
def test_it_fits_and_axe_finds_nothing_serious(browser, page_of_scan, size, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe not found; get it with `pip install axe-playwright-python`",
    )
    context = browser.new_context(viewport=size, color_scheme=scheme)
    page = context.new_page()
    page.goto(page_of_scan.as_uri())
    page.wait_for_selector(".planes canvas")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    found = axe.Axe().run(page).response
    serious = [one for one in found["violations"] if one["impact"] in SERIOUS]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []
    assert re.search(r"slice|keys", page.inner_text(".plane-keys"))
    context.close()
