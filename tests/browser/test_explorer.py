"""The explorer in a real browser: every view, by mouse and by keyboard alone, and nobody asked."""

import io
import os
import random
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.browser

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
REPOSITORY = Path(__file__).resolve().parents[2]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def built():
    """The pages as the sources are now; skipped, loudly, where there is no Node."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "hatch_build.py")], capture_output=True, text=True
    )
    if done.returncode and "Node" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def explorer(digit_run):
    from vitreous.server.explorer import Explorer

    found = Explorer(digit_run)
    found.warm_up()
    return found


@pytest.fixture(scope="module")
def address(built, explorer):
    """The printed address of a server in this process."""
    import uvicorn

    from vitreous.server.app import create_app
    from vitreous.server.front_end import built_front_end
    from vitreous.server.guard import Guard
    from vitreous.server.serve import _bound

    listening = _bound("127.0.0.1", 0)
    guard = Guard(create_app(explorer, built_front_end()), "token-of-the-test")
    config = uvicorn.Config(guard, log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    server.should_exit = True
    thread.join(10)
    listening.close()


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
    page.goto(f"{address}?token=token-of-the-test")
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


PLACES = {
    "answer": "answer",
    "most wrong": "answer?order=wrong",
    "network": "network",
    "network spread": "network?spread=picture&all=1",
    "layer": "layer?layer=features.conv2",
    "vector": "layer?layer=head.fc3",
    "cell": "cell?layer=features.conv2&at=3,4,5",
    "linear": "cell?layer=head.fc3&at=2",
    "input": "cell?layer=input&at=0,9,9",
    "why": "why?method=occlusion&beside=hirescam",
    "why checked": "why?check=1",
    "training": "training",
    "errors": "errors",
    "pair": "errors?truth=1&predicted=8",
}


def last_linear(explorer) -> str:
    return [node.name for node in explorer.graph.nodes if node.operation == "linear"][-1]


def place_of(explorer, name: str) -> str:
    return PLACES[name].replace("head.fc3", last_linear(explorer))


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_state_opens_by_its_address(browser, address, explorer, size):
    with opened(browser, address, size=size) as page:
        for name in PLACES:
            visit(page, address, place_of(explorer, name))
            keep_picture(page, f"{name}-{size['width']}")
            assert page.locator("[role=alert]").all_inner_texts() == [], name
            width = page.evaluate("document.documentElement.scrollWidth")
            assert width <= size["width"], f"{name} scrolls sideways"
            broken = page.eval_on_selector_all(
                "img", "all => all.filter(one => one.complete && !one.naturalWidth).length"
            )
            assert broken == 0, name
            assert (page.complaints, page.elsewhere) == ([], []), name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(browser, address, explorer, scheme):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe not found; get it with `pip install axe-playwright-python`",
    )
    with opened(browser, address, scheme=scheme) as page:
        for name in (
            "answer",
            "network",
            "layer",
            "cell",
            "linear",
            "why checked",
            "training",
            "errors",
        ):
            visit(page, address, place_of(explorer, name))
            keep_picture(page, f"{name}-{scheme}")
            found = axe.Axe().run(page).response
            assert len(found["passes"]) > 15, name
            serious = [one for one in found["violations"] if one["impact"] in SERIOUS]
            assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == [], name


def test_without_the_token_nothing_is_shown(browser, address):
    context = browser.new_context()
    page = context.new_page()
    answer = page.goto(address)
    assert answer.status == 401
    assert "vitreous serve" in page.inner_text("body")
    context.close()


def test_the_numbers_of_a_cell_are_the_traces(browser, address, explorer):
    chosen = random.Random(1)
    sample = next(iter(explorer.samples.rows))
    trace = explorer.trace(sample)
    with opened(browser, address) as page:
        for layer in chosen.sample(list(trace.layers), 6):
            index = [chosen.randrange(size) for size in explorer.graph[layer].shape[1:]]
            at = ",".join(map(str, index))
            page.goto(f"{address}#/cell?sample={sample}&layer={layer}&at={at}")
            own = trace.at(layer, index)
            page.wait_for_selector(f".steps[data-place='{layer}@{at}']")
            shown = page.locator("[data-cell-value]").get_attribute("data-cell-value")
            assert float(shown) == own.computed
            box = explorer.fields[layer].box((0, *index))
            told = page.locator("[data-field]").get_attribute("data-field")
            assert told == (
                "null" if box is None else str([list(ends) for ends in box]).replace(" ", "")
            )


def test_from_the_answer_down_to_the_pixels_by_keyboard_alone(browser, address, explorer):
    with opened(browser, address, "cell?layer=features.conv2&at=3,4,5") as page:
        map_ = page.locator(".walkable").last
        map_.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**at=3%2C4%2C6**")
        page.keyboard.press("ArrowDown")
        page.wait_for_url("**at=3%2C5%2C6**")
        for _ in range(12):  # down to the input, a term at a time
            links = page.locator(".matrix a, .sources a")
            if not links.count():
                break
            before = page.url
            links.first.focus()
            page.keyboard.press("Enter")
            page.wait_for_function("before => location.href !== before", arg=before)
            calm(page)
        assert "layer=input" in page.url
        stops = page.locator(".trail li").count()
        assert stops >= 4
        page.locator(".trail a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**layer=features.conv2**at=3%2C5%2C6**")
        assert page.complaints == []


def test_the_keyboard_reaches_every_view(browser, address):
    with opened(browser, address) as page:
        for name in ("Network", "Layer", "Cell", "Why", "Training", "Errors", "Answer"):
            link = page.locator("nav[aria-label=Views] a", has_text=name).first
            link.focus()
            outline = link.evaluate("one => getComputedStyle(one).outlineStyle")
            assert outline != "none"
            page.keyboard.press("Enter")
            page.wait_for_url(f"**/#/{name.lower()}**")
            page.wait_for_selector("main h1")
        page.locator(".skip").focus()
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id") == "content"
        page.locator("#theme").focus()
        page.keyboard.press("Enter")
        assert page.locator("#theme").inner_text() == "Light theme"


def test_the_window_slides_by_step_and_by_play(browser, address):
    with opened(browser, address, "cell?layer=features.conv1&at=0,0,0") as page:
        page.get_by_role("button", name="step on").click()
        page.wait_for_url("**at=0%2C0%2C1**")
        page.get_by_role("button", name="step back").click()
        page.wait_for_url("**at=0%2C0%2C0**")
        page.get_by_role("button", name="play").click()
        page.wait_for_url("**at=0%2C0%2C3**")
        page.get_by_role("button", name="stop").click()
        assert page.complaints == []


def test_another_sample_and_the_most_wrong_ones(browser, address, explorer):
    with opened(browser, address) as page:
        page.get_by_label("wrong answers").check()
        page.wait_for_url("**order=wrong**")
        first = explorer.run.evaluation["most_wrong"][0]
        page.wait_for_function(  # the list comes after the address has changed
            "name => decodeURIComponent(document.querySelector('.thumbnails a').href)"
            ".includes(name)",
            arg=first["sample_id"],
        )
        page.locator(".thumbnails a").first.click()
        page.wait_for_selector(".said .wrong")
        assert page.locator("#answer-heading").inner_text() == first["predicted"]
        page.get_by_role("button", name="next").click()
        second = explorer.run.evaluation["most_wrong"][1]["sample_id"]
        page.wait_for_function(
            "name => decodeURIComponent(location.hash).includes(name)", arg=second
        )


def test_ones_own_picture_and_a_bad_one(browser, address, tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.eye(20, dtype=np.uint8) * 255).save(buffer, "PNG")
    with opened(browser, address) as page:
        files = page.locator("input[type=file]")
        files.set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": b"no picture"})
        page.wait_for_selector("[role=alert]")
        assert "not a picture" in page.inner_text("[role=alert]")
        good = {"name": "b.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
        files.set_input_files(good)
        page.wait_for_url("**sample=own-**")
        page.wait_for_selector("text=your own picture")
        assert page.elsewhere == []


def test_errors_lead_to_samples_and_the_walk(browser, address, explorer):
    with opened(browser, address, "errors") as page:
        page.locator(".confusion td:not(.own) a").first.click()
        page.wait_for_url("**truth=**predicted=**")
        page.locator(".thumbnails a").first.click()
        page.locator("main a.button", has_text="Look at").click()
        page.wait_for_url("**/#/answer**")
        page.wait_for_selector(".said .wrong")


def test_the_training_is_replayed(browser, address):
    with opened(browser, address, "training") as page:
        assert page.locator(".chart svg[role=img]").count() >= 2
        slider = page.locator("input[type=range]")
        kernel = page.locator(".kernels canvas").first
        last = kernel.evaluate("one => one.toDataURL()")
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_url("**epoch=1**")
        calm(page)
        assert kernel.evaluate("one => one.toDataURL()") != last


def test_maps_are_drawn_with_zero_as_the_page(browser, address):
    with opened(browser, address, "layer?layer=features.relu1") as page:
        seen = page.locator(".walkable canvas").evaluate(
            """one => {
                 const area = one.getContext('2d').getImageData(0, 0, one.width, one.height);
                 const alphas = [...area.data].filter((_, at) => at % 4 === 3);
                 return [Math.min(...alphas), Math.max(...alphas)];
               }"""
        )
        assert seen[0] == 0
        assert seen[1] > 100


def keep_picture(page, name: str) -> None:
    """A screenshot to look at, where VITREOUS_SCREENSHOTS names a folder."""
    folder = os.environ.get("VITREOUS_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{name.replace(' ', '-')}.png", full_page=True)
