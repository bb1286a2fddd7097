"""Pages of the explorer in the browser, and what they asked elsewhere or complained about."""

import os
from contextlib import contextmanager
from pathlib import Path

import pytest

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")
TOKEN = "token-of-the-test"

CALM = """async () => {
  const frame = () => new Promise(done => requestAnimationFrame(done));
  const whole = () => document.documentElement.dataset.pending === "0"
    && [...document.querySelectorAll("img:not([loading])")].every(one => one.complete);
  for (let calm = 0; calm < 6;) { await frame(); calm = whole() ? calm + 1 : 0; }
}"""


@contextmanager
def opened(browser, address, place="", size=WIDE, scheme="light"):
    """A page of the explorer; what it asked elsewhere and complained about is noted."""
    context = browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.elsewhere, page.complaints = [], []

    def note(request):
        if not request.url.startswith((address, "data:", "blob:")):
            page.elsewhere.append(request.url)

    page.on("request", note)
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(f"{address}?token={TOKEN}")
    calm(page)
    if place:
        visit(page, address, place)
    try:
        yield page
    finally:
        context.close()


def calm(page) -> None:
    """Wait until all that was asked for is there and drawn."""
    page.wait_for_selector("main h1")
    page.evaluate(CALM)


def visit(page, address, place: str) -> None:
    """Open a state by its address, as if it had been typed into a fresh page."""
    page.goto(f"{address}#/{place}")
    page.reload()
    calm(page)


def keep_picture(page, name: str) -> None:
    """A screenshot to look at, where VITREOUS_SCREENSHOTS names a folder."""
    folder = os.environ.get("VITREOUS_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name.replace(' ', '-')}.png", full_page=True)


def assert_fits(page, name: str, size) -> None:
    """Nothing went wrong, nobody else was asked, and nothing is wider than the window."""
    assert page.locator("[role=alert]").all_inner_texts() == [], name
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size["width"], f"{name} scrolls sideways"
    broken = page.eval_on_selector_all(
        "img", "all => all.filter(one => one.complete && !one.naturalWidth).length"
    )
    assert broken == 0, name
    assert (page.complaints, page.elsewhere) == ([], []), name


def assert_accessible(page, name: str) -> None:
    """What axe finds serious is nothing; the test is skipped, saying so, where there is no axe."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe not found; get it with `pip install axe-playwright-python`",
    )
    found = axe.Axe().run(page).response
    assert len(found["passes"]) > 15, name
    serious = [one for one in found["violations"] if one["impact"] in SERIOUS]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == [], name


def explorer_of(run):
    """The explorer of a run, warmed up as `vitreous serve` does it."""
    from vitreous.server.explorer import Explorer

    found = Explorer(run)
    found.warm_up()
    return found


def views_of(layer: str) -> dict[str, str]:
    """Every view's address, those of a layer and a cell at one layer."""
    return {
        "answer": "answer",
        "network": "network",
        "layer": f"layer?layer={layer}",
        "cell": f"cell?layer={layer}",
        "why": "why",
        "training": "training",
    }
