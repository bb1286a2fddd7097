"""The report in a real browser: opens by double click, asks nobody, fits, prints, is accessible."""

import re
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

KINDS = ["ten", "many", "interrupted", "multilabel", "regress", "evil", "trials"]
WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def opened(browser, path: Path, size=WIDE, scheme="light", script=True):
    """The page as a double click opens it; what it asked for and complained about is noted."""
    context = browser.new_context(viewport=size, color_scheme=scheme, java_script_enabled=script)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(dialog.message), dialog.dismiss()))
    context.route("http://**/*", lambda route: route.abort())
    context.route("https://**/*", lambda route: route.abort())
    page.goto(path.as_uri())
    try:
        yield page
    finally:
        context.close()


@pytest.mark.parametrize("kind", KINDS)
def test_no_request_leaves_and_nothing_complains(browser, reports, kind):
    with opened(browser, reports[kind]) as page:
        page.wait_for_load_state("networkidle")
        assert [url for url in page.asked if not url.startswith("data:")] == [
            reports[kind].as_uri()
        ]
        assert page.complaints == []
        broken = page.eval_on_selector_all(
            "img", "all => all.filter(one => !one.naturalWidth).map(one => one.alt)"
        )
        assert broken == []


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_page_never_scrolls_sideways(browser, reports, kind, size):
    with opened(browser, reports[kind], size) as page:
        page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_comparisons_and_metrics_are_shown_whole(browser, reports):
    with opened(browser, reports["trials"]) as page:
        hidden = page.eval_on_selector_all(
            ".scroll:has(> .strips), .scroll:has(> .metrics)",
            "all => all.map(one => [one.scrollWidth - one.clientWidth,"
            " one.scrollHeight - one.clientHeight])",
        )
        assert len(hidden) == 3
        assert hidden == [[0, 0]] * 3


def lightness(page, name: str, selector: str = "body") -> float:
    colour = page.eval_on_selector(selector, f"one => getComputedStyle(one)['{name}']")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) / 765


@pytest.mark.parametrize("script", [True, False])
@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_the_page_follows_the_systems_theme(browser, reports, scheme, dark, script):
    with opened(browser, reports["ten"], scheme=scheme, script=script) as page:
        assert (lightness(page, "backgroundColor") < 0.2) == dark
        assert (lightness(page, "color") > 0.8) == dark
        assert page.locator("#theme").is_visible() == script


def test_the_button_turns_the_theme_over_and_says_what_it_will_do(browser, reports):
    with opened(browser, reports["ten"], scheme="dark") as page:
        button = page.locator("#theme")
        assert button.inner_text() == "Light theme"
        button.click()
        assert lightness(page, "backgroundColor") > 0.9
        assert button.inner_text() == "Dark theme"
        button.click()
        assert lightness(page, "backgroundColor") < 0.2


def test_the_keyboard_reaches_every_control(browser, reports):
    with opened(browser, reports["ten"]) as page:
        controls = "a[href], button, summary, [tabindex='0']"
        wanted = page.locator(controls).count()
        page.evaluate(
            f'[...document.querySelectorAll("{controls}")].map((c, i) => c.id ||= `c${{i}}`)'
        )
        reached = set()
        for _ in range(wanted + 2):
            page.keyboard.press("Tab")
            reached.add(page.evaluate("document.activeElement.id"))
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none" or page.evaluate("document.activeElement === document.body")
        hidden = page.eval_on_selector_all(
            controls, "all => all.filter(c => !c.checkVisibility()).map(c => c.id)"
        )
        assert reached - {""} == set(
            page.eval_on_selector_all(controls, "all => all.map(c => c.id)")
        ) - set(hidden)
        assert page.locator(".scroll:not([tabindex='0'])").count() == 0
        page.locator("#theme").focus()
        page.keyboard.press("Enter")
        assert page.locator("#theme").inner_text() == "Light theme"


def test_a_table_sorts_by_value_up_and_down(browser, reports):
    with opened(browser, reports["many"]) as page:
        press = page.locator("#classes th button", has_text="recall")
        heading = page.locator("#classes th", has_text="recall").first
        cells = "#classes tbody tr td:nth-child(4)"
        read = "all => all.map(one => Number(one.dataset.order))"
        before = page.eval_on_selector_all(cells, read)
        press.click()
        assert page.eval_on_selector_all(cells, read) == sorted(before)
        assert heading.get_attribute("aria-sort") == "ascending"
        press.click()
        assert page.eval_on_selector_all(cells, read) == sorted(before, reverse=True)
        assert before not in (sorted(before), sorted(before, reverse=True))


@pytest.mark.parametrize("kind", ["ten", "many", "regress"])
def test_it_prints_on_white_with_nothing_cut_off(browser, reports, kind):
    with opened(browser, reports[kind], scheme="dark") as page:
        page.emulate_media(media="print")
        assert lightness(page, "backgroundColor") > 0.99
        page.set_viewport_size({"width": 680, "height": 960})  # A4 within its margins
        assert page.evaluate("document.documentElement.scrollWidth") <= 680
        cut = page.eval_on_selector_all(
            ".scroll", "all => all.filter(one => one.scrollHeight > one.clientHeight + 1).length"
        )
        assert cut == 0
        assert page.pdf(prefer_css_page_size=True, print_background=True)[:5] == b"%PDF-"


def test_what_is_folded_is_open_on_paper(browser, reports):
    with opened(browser, reports["ten"]) as page:
        folded = page.locator("details:not([open])")
        assert folded.count() == 3
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert folded.count() == 0
        page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert folded.count() == 3


@pytest.mark.parametrize(
    ("kind", "scheme"),
    [("ten", "light"), ("ten", "dark"), ("many", "dark"), ("regress", "light")],
)
def test_axe_finds_nothing_serious(browser, reports, kind, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe not found; get it with `pip install axe-playwright-python`",
    )
    with opened(browser, reports[kind], scheme=scheme) as page:
        found = axe.Axe().run(page).response
    assert len(found["passes"]) > 20
    serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
    assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []
