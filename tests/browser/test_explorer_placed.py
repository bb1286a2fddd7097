"""The explorer on masks and on boxes: every view, and from an answer to its reasons by keyboard."""

import pytest

from .pages import (
    PHONE,
    WIDE,
    assert_accessible,
    assert_fits,
    calm,
    explorer_of,
    keep_picture,
    opened,
    views_of,
    visit,
)

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def masks(shape_run):
    return explorer_of(shape_run)


@pytest.fixture(scope="module")
def boxes(box_run):
    return explorer_of(box_run)


@pytest.fixture(scope="module")
def addresses(serve, masks, boxes):
    return {"masks": serve(masks), "boxes": serve(boxes)}


@pytest.mark.parametrize(
    ("kind", "size", "scheme"),
    [("masks", PHONE, "dark"), ("boxes", WIDE, "light")],
    ids=["masks on a phone", "boxes wide"],
)
def test_every_view_shows_it(browser, addresses, masks, boxes, kind, size, scheme):
    address, explorer = addresses[kind], {"masks": masks, "boxes": boxes}[kind]
    with opened(browser, address, size=size, scheme=scheme) as page:
        for name, place in views_of(explorer.graph.outputs[0]).items():
            visit(page, address, place)
            keep_picture(page, f"{kind}-{name}-{size['width']}")
            assert_fits(page, name, size)
            assert_accessible(page, name)
        visit(page, address, "errors")
        assert "report.html" in page.inner_text("[role=alert]")


def test_from_a_class_to_its_pixel_and_its_reasons_by_keyboard(browser, addresses, masks):
    with opened(browser, addresses["masks"]) as page:
        page.locator(".areas a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/layer**channel=**")
        calm(page)
        page.locator(".walkable").first.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/cell**")
        calm(page)
        page.locator("a", has_text="Why this pixel").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/why**place=1%2C1**")
        page.wait_for_selector("[data-why]")
        calm(page)
        assert "pixel 1, 1" in page.inner_text(".scene")
        right = page.get_by_label("Pixel to the right")
        right.focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        page.wait_for_url("**place=2%2C1**")
        assert page.complaints == []


def test_from_a_box_to_its_score_and_its_reasons_by_keyboard(browser, addresses, boxes):
    with opened(browser, addresses["boxes"]) as page:
        page.get_by_label("the score of box 1").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/cell**")
        calm(page)
        assert page.locator("[data-cell-value]").count() == 1
        page.go_back()
        calm(page)
        page.get_by_label("why box 1").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/why**place=1**")
        page.wait_for_selector("[data-why]")
        assert "box 1" in page.inner_text(".scene")
        assert page.complaints == []
