"""The explorer in a real browser: every view, by mouse and by keyboard alone, and nobody asked."""

import io
import random
import shutil

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from vitreous.runs.run import Run

from .pages import PHONE, WIDE, assert_accessible, assert_fits, calm, keep_picture, opened, visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def explorer(digit_run, tmp_path_factory):
    """The run, and beside it one with other weights in the first layer."""
    from vitreous.server.explorer import Explorer

    other = tmp_path_factory.mktemp("runs") / "other"
    shutil.copytree(digit_run.folder, other)
    weights = load_file(other / "network.safetensors")
    weights["features.conv1.weight"] *= -1
    save_file(weights, other / "network.safetensors")
    shutil.rmtree(digit_run.folder / "features", ignore_errors=True)
    found = Explorer(digit_run, [Run.load(other)])
    found.warm_up()
    return found


@pytest.fixture(scope="module")
def address(serve, explorer):
    return serve(explorer)


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
    "why of two runs": "why?run=other",
    "training": "training",
    "errors": "errors",
    "pair": "errors?truth=1&predicted=8",
}


def last_linear(explorer) -> str:
    return [node.name for node in explorer.graph.nodes if node.operation == "linear"][-1]


def place_of(explorer, name: str) -> str:
    return PLACES[name].replace("head.fc3", last_linear(explorer))


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["wide light", "phone dark"]
)
def test_every_state_opens_by_its_address_and_axe_finds_nothing_serious(
    browser, address, explorer, size, scheme
):
    with opened(browser, address, size=size, scheme=scheme) as page:
        for name in PLACES:
            visit(page, address, place_of(explorer, name))
            keep_picture(page, f"{name}-{size['width']}-{scheme}")
            assert_fits(page, name, size)
            assert_accessible(page, name)


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


def pressed(page, control, key="Enter"):
    """Press a key on a control that the keyboard can reach."""
    control.focus()
    assert control.evaluate("one => one === document.activeElement")
    page.keyboard.press(key)


def test_every_view_is_worked_by_keyboard_alone(browser, address, explorer):
    """Each view's own controls, without a mouse; nobody else is asked."""
    with opened(browser, address) as page:
        pressed(page, page.get_by_label("wrong answers"), "Space")
        page.wait_for_url("**order=wrong**")
        calm(page)
        pressed(page, page.locator(".thumbnails a").first)
        page.wait_for_selector(".said .wrong")
        visit(page, address, "network")
        pressed(page, page.get_by_label("Zoom"), "ArrowRight")
        page.wait_for_url("**zoom=**")
        pressed(page, page.get_by_label("as wide as its place"), "Space")
        page.wait_for_url("**spread=picture**")
        pressed(page, page.locator(".house a.tile").nth(3))
        page.wait_for_url("**/#/layer**")
        calm(page)
        pressed(page, page.locator(".channels button").nth(2))
        page.wait_for_url("**channel=**")
        calm(page)
        pressed(page, page.locator("main select").nth(1), "ArrowDown")
        page.wait_for_url("**sort=number**")
        pressed(page, page.locator("main a.button", has_text="Open this cell"))
        page.wait_for_url("**/#/cell**")
        calm(page)
        for name, part in (("step on", "**at=**"), ("step back", "**at=**")):
            before = page.url
            pressed(page, page.get_by_role("button", name=name))
            page.wait_for_function("before => location.href !== before", arg=before)
            page.wait_for_url(part)
        pressed(page, page.get_by_role("button", name="play"), "Space")
        pressed(page, page.get_by_role("button", name="stop"), "Space")
        visit(page, address, "why?method=occlusion")
        pressed(page, page.get_by_role("button", name="Check this map"))
        page.wait_for_selector("[data-check]", timeout=60_000)
        visit(page, address, "training")
        pressed(page, page.locator("summary"))
        assert page.locator("details[open] table").count() == 1
        pressed(page, page.locator("input[type=range]"), "Home")
        page.wait_for_url("**epoch=1**")
        visit(page, address, "errors")
        pressed(page, page.locator(".confusion td:not(.own) a").first)
        page.wait_for_url("**truth=**predicted=**")
        calm(page)
        pressed(page, page.locator(".thumbnails a").first)
        page.wait_for_function("() => document.querySelector('.thumbnails [aria-current]')")
        pressed(page, page.locator("main a.button", has_text="Look at"))
        page.wait_for_url("**/#/answer**")
        assert (page.complaints, page.elsewhere) == ([], [])


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


def test_best_patches_are_looked_for_and_lead_to_their_cell(browser, address, explorer):
    with opened(browser, address, "layer?layer=features.conv2&channel=3") as page:
        page.get_by_role("button", name="Look for them").click()
        page.wait_for_selector("[data-patches='features.conv2 3'] .patches a", timeout=60_000)
        patches = page.locator(".patches a")
        assert patches.count() == 9
        first = patches.first
        sample = first.get_attribute("title")
        keep_picture(page, "patches")
        best = max(explorer.trace(sample).array("features.conv2")[3].ravel())
        first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/#/cell?**")
        page.wait_for_selector("[data-cell-value]")
        value = float(page.locator("[data-cell-value]").get_attribute("data-cell-value"))
        assert value == pytest.approx(best, rel=1e-5)
        visit(page, address, "layer?layer=features.conv2&channel=3&least=1")
        page.wait_for_selector("text=excite map 3 least")
        assert (page.complaints, page.elsewhere) == ([], [])


def test_maps_by_what_they_speak_and_the_answer_without_one(browser, address, explorer):
    from vitreous.server.causes import map_shares, without_map

    with opened(browser, address, "layer?layer=features.conv2&sort=share") as page:
        sample = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('sample')")
        shares = map_shares(explorer, sample, "features.conv2").shares
        order = sorted(range(len(shares)), key=lambda one: -abs(shares[one]))
        shown = page.locator(".channels button").evaluate_all(
            "all => all.map(one => Number(one.getAttribute('aria-label').match(/map (\\d+)/)[1]))"
        )
        assert shown[:4] == order[:4]
        keep_picture(page, "shares")
        pressed(page, page.get_by_role("button", name=f"Switch map {order[0]} off"))
        page.wait_for_selector("[data-without]")
        told = float(page.locator("[data-without]").get_attribute("data-without"))
        expected = without_map(explorer, sample, "features.conv2", order[0]).after.score
        assert told == pytest.approx(expected, rel=1e-6)
        keep_picture(page, "switched off")
        assert_accessible(page, "switched off")
        assert (page.complaints, page.elsewhere) == ([], [])


def test_what_moves_a_cell_is_shaded_on_the_picture(browser, address):
    with opened(browser, address, "cell?layer=features.conv2&at=3,4,5") as page:
        pressed(page, page.get_by_label("how strongly each place moves it"), "Space")
        page.wait_for_url("**felt=1**")
        page.wait_for_selector("[data-felt]")
        calm(page)
        keep_picture(page, "felt")
        assert page.locator("canvas[aria-label^='how strongly']").count() == 1
        page.locator(".matrix a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_function("() => !location.hash.includes('at=3%2C4%2C5')")
        assert "felt=1" in page.url  # it goes along on the way down
        assert_accessible(page, "felt")
        assert (page.complaints, page.elsewhere) == ([], [])


def test_two_runs_explain_one_picture_side_by_side(browser, address, explorer):
    with opened(browser, address, "why") as page:
        page.get_by_label("The same by another run").select_option("other")
        page.wait_for_selector("[data-by=other] canvas")
        calm(page)
        drawn = page.locator("[data-by] canvas").evaluate_all("all => all.map(o => o.toDataURL())")
        assert len(drawn) == 2
        assert drawn[0] != drawn[1]
        told = page.locator("[data-by=other] figcaption").first.inner_text()
        sample = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('sample')")
        other = explorer.others["other"].answer(sample).predicted
        assert told.startswith(f"other answers {other}")
        assert (page.complaints, page.elsewhere) == ([], [])


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
