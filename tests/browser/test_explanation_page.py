"""The page of `explain` in a real browser: one file, asks nobody, fits, is accessible."""

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe

from vitreous.insight.attribution import SignedMap, Target
from vitreous.insight.faithfulness_scores import Curve, Faithfulness, MapScores
from vitreous.report.explanation import ExplanationShown, explanation_page
from vitreous.report.overlay import overlay_png

from .test_report_page import PHONE, WIDE, opened

pytestmark = pytest.mark.browser

EVIL = "<img src=http://evil.test/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_path(tmp_path_factory):
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 255, (3, 48, 64)).astype(np.uint8)
    values = generator.normal(size=(48, 64)).astype(np.float32)
    curve = Curve("mean", (0.9, 0.5, 0.1), (0.1, 0.6, 0.9))
    good = MapScores(0.4, 0.6, 0.7, (curve, Curve("blur", (0.9, 0.4, 0.2), (0.2, 0.7, 0.9))))
    poor = MapScores(0.1, 0.1, 0.2, (curve,))
    shown = []
    for number, patches in enumerate((0.6, 0.0)):
        own = MapScores(good.order, patches, good.mass_inside, good.curves)
        check = Faithfulness(
            own, {"random": poor, "sobel": poor, "centre": poor}, 0.9, {"mean": 0.1, "blur": 0.2},
            randomised=0.1, other_target=None, mask_share=0.1, agreement={"occlusion": 0.5},
            forward_passes=301, seconds=1.5,
        )  # fmt: skip
        one = SignedMap(values, "hirescam", Target(0), 2.0, "features.conv", remarks=("Careful.",))
        item = {
            "sample_id": f"pictures/{EVIL}-{number}.png", "predicted": EVIL, "confidence": 0.9,
            "explained": EVIL, "versus": None, "map": one.to_json(), "check": check.to_json(),
        }  # fmt: skip
        captions = ("answer: ants, 90.0%", "why ants: hirescam at features.conv")
        shown.append(ExplanationShown(overlay_png(picture, values, captions), item, captions))
    path = tmp_path_factory.mktemp("explanations") / "index.html"
    path.write_text(explanation_page("runs/pictures-1", shown, 3, 1), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_it_fits_asks_nobody_and_axe_finds_nothing(browser, page_path, size, scheme):
    with opened(browser, page_path, size, scheme) as page:
        page.wait_for_load_state("networkidle")
        asked = [url for url in page.asked if not url.startswith("data:")]
        assert asked == [page_path.as_uri()]
        assert page.complaints == []
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
        found = [one for one in Axe().run(page).response["violations"]
                 if one["impact"] in ("serious", "critical", "moderate")]  # fmt: skip
        assert [one["id"] for one in found] == []
        assert page.locator("img").count() == 2
        assert page.locator("text=The map holds").count() == 1
        assert page.locator("text=Do not lean on this map").count() == 1
