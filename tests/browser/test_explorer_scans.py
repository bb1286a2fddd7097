"""The explorer on scans: every view by slices, and down from a voxel by keyboard."""

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
def masks(scan_run):
    return explorer_of(scan_run)


@pytest.fixture(scope="module")
def whole(whole_scan_run):
    return explorer_of(whole_scan_run)


@pytest.fixture(scope="module")
def addresses(serve, masks, whole):
    return {"masks": serve(masks), "whole": serve(whole)}


def convolution_of(explorer) -> str:
    return [node.name for node in explorer.graph.nodes if node.operation == "convolution"][1]


@pytest.mark.parametrize(
    ("kind", "size", "scheme"), [("masks", WIDE, "light"), ("whole", PHONE, "dark")]
)
def test_every_view_shows_scans(browser, addresses, masks, whole, kind, size, scheme):
    address, explorer = addresses[kind], {"masks": masks, "whole": whole}[kind]
    with opened(browser, address, size=size, scheme=scheme) as page:
        for name, place in views_of(convolution_of(explorer)).items():
            visit(page, address, place)
            keep_picture(page, f"scan-{kind}-{name}-{size['width']}")
            assert_fits(page, name, size)
            assert_accessible(page, name)


def slice_of(page):
    return page.locator("label", has_text="Slice").locator("input[type=range]")


def test_slices_are_walked_and_a_cell_opened_by_keyboard(browser, addresses, masks):
    layer = convolution_of(masks)
    with opened(browser, addresses["masks"], f"layer?layer={layer}&channel=2") as page:
        slice_of(page).focus()
        page.keyboard.press("ArrowLeft")
        page.wait_for_url("**slice=7**")
        calm(page)
        page.locator("main a.button", has_text="Open this cell").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**at=2%2C7%2C0%2C0**")
        slice_of(page).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**at=2%2C8%2C0%2C0**")
        sample = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('sample')")
        page.wait_for_selector(f".steps[data-place='{layer}@2,8,0,0']")
        shown = page.locator("[data-cell-value]").get_attribute("data-cell-value")
        assert float(shown) == masks.trace(sample).at(layer, (2, 8, 0, 0)).computed
        assert page.locator(".equation table").first.locator("tbody").count() == 3
        assert page.locator("[data-field]").inner_text().startswith("slices ")
        page.locator(".matrix a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("at => !location.hash.includes(at)", arg="at=2%2C8%2C0%2C0")
        calm(page)
        assert page.locator("[data-cell-value]").count() == 1
        assert (page.complaints, page.elsewhere) == ([], [])


def test_why_a_voxel_is_answered_so_from_its_cell(browser, addresses, masks):
    output = masks.graph.outputs[0]
    with opened(browser, addresses["masks"], f"cell?layer={output}&at=1,6,7,9") as page:
        page.locator("a", has_text="Why this voxel").focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/why**place=9%2C7%2C6**")
        page.wait_for_selector("[data-why]")
        calm(page)
        assert "voxel 9, 7, 6" in page.inner_text(".scene")
        assert slice_of(page).input_value() == "6"
        assert page.locator("[data-why] rect.cell").count() == 1
        slice_of(page).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**slice=7**")
        assert page.locator("[data-why] rect.cell").count() == 0  # the voxel lies in another slice
        deeper = page.get_by_label("and slice")
        deeper.focus()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("Enter")
        page.wait_for_url("**place=9%2C7%2C7**")
        assert (page.complaints, page.elsewhere) == ([], [])
