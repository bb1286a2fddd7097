"""The walk in a report opened by double click: the numbers are the server's, nobody is asked."""

import base64
import random
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from vitreous.insight.receptive_fields import receptive_fields
from vitreous.insight.storeys import floor_by_node, floors_of
from vitreous.insight.trace import trace_of
from vitreous.networks import build_network, capture
from vitreous.report.extras import Extras, picture_bytes
from vitreous.report.front_end import has_front_end
from vitreous.report.payload import build_payload
from vitreous.report.render import render
from vitreous.report.tables_of_run import Answer
from vitreous.report.walk import WalkSample, walk_shown

pytestmark = pytest.mark.browser

WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
SERIOUS = ("serious", "critical")
PLACES = [
    "network",
    "network?spread=picture&all=1",
    "layer?layer=features.conv2",
    "layer?layer=head.linear1",
    "cell?layer=features.conv2&at=3,4,5",
    "cell?layer=features.pool1&at=1,2,3",
    "cell?layer=head.linear3&at=2",
    "cell?layer=input&at=0,9,9",
]

PICTURE = picture_bytes(np.zeros((1, 4, 4), np.uint8))

# networks whose operations together are all that the file has arithmetic for
NETWORKS = {
    "lenet5": (1, 28, 28),
    "lenet5-1998": (1, 32, 32),
    "pocket": (3, 18, 17),
    "resnet": (3, 12, 12),
    "eegnet": (1, 5, 128),
    "shallowconvnet": (1, 4, 160),
}
MORE_NETWORKS = {
    "timm:mobilenetv4_conv_small": (3, 32, 40),
    "timm:convnext_atto": (3, 32, 32),
    "deep4": (1, 3, 460),
    "basenet": (1, 4, 190),
}
REFUSED = {"layer norm"}  # named as such in the file


@pytest.fixture(scope="module", autouse=True)
def _pages(front_end):
    assert has_front_end()


@contextmanager
def opened(browser, path, place="", size=WIDE, scheme="light", script=True):
    """A report as a double click opens it; what it asked for and complained about is noted."""
    context = browser.new_context(
        viewport=size, color_scheme=scheme, java_script_enabled=script, reduced_motion="reduce"
    )
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.asked, page.complaints = [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.goto(path.as_uri() + (f"#/{place}" if place else ""))
    try:
        yield page
        elsewhere = [url for url in page.asked if not url.startswith(("data:", path.as_uri()))]
        assert (elsewhere, page.complaints) == ([], [])
    finally:
        context.close()


@pytest.fixture(scope="module")
def report(digit_run):
    """The report that the training wrote, with the page as the sources make it now."""
    from vitreous.files import read_json

    path = digit_run.folder / "walked.html"
    path.write_text(render(read_json(digit_run.folder / "report.json")), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def carried(digit_run, tmp_path_factory):
    """A report that carries a network with random weights, and the stand-in for its server."""
    folder = tmp_path_factory.mktemp("walks")

    def make(name):
        torch.manual_seed(0)
        shape = {**NETWORKS, **MORE_NETWORKS}[name]
        network = build_network(name, shape, 4).eval()
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point() and tensor.ndim == 1:  # norms that do something
                tensor.data.copy_(torch.rand_like(tensor) + 0.3)
        inputs = torch.randn(1, *shape)
        graph = capture(network, inputs)
        answer = Answer(sample_id="one", truth="a", predicted="b", confidence=0.5)
        walk = walk_shown(graph, [WalkSample(answer, inputs, PICTURE)], name, most_bytes=2**26)
        path = folder / f"{name.replace(':', '-')}.html"
        path.write_text(render(build_payload(digit_run.folder, Extras(walk=walk))))
        trace = trace_of(graph, inputs)
        floors = floors_of(graph)
        server = SimpleNamespace(
            graph=graph,
            fields=receptive_fields(graph),
            floor_of=floor_by_node(floors),
            floors=floors,
            node=graph.__getitem__,
            trace=lambda _: trace,
        )
        return path, server

    return make


ASK = """all => Promise.all(all.map(asked =>
    document.getElementById('walk').walk.get('cell', asked)))"""
PACK = """([path, asked]) => document.getElementById('walk').walk.pack(path, asked).then(
    ({blocks, activity}) => ({activity, blocks: blocks.map(
        one => ({...one, values: [...one.values]}))}))"""


def assert_alike(found, expected, where=""):
    """The same in structure; numbers to what the order of a sum in float64 leaves open."""
    if isinstance(expected, dict):
        assert set(found) == set(expected), where
        for key in expected:
            assert_alike(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for at, pair in enumerate(zip(found, expected, strict=True)):
            assert_alike(*pair, f"{where}[{at}]")
    elif isinstance(expected, float) and not isinstance(found, str):
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), where
    else:
        assert found == expected, where


@pytest.mark.parametrize("name", NETWORKS)
def test_a_cell_is_what_the_server_says_of_it(browser, carried, name):
    assert_cells_are_the_servers(browser, *carried(name))


@pytest.mark.acceptance
@pytest.mark.parametrize("name", MORE_NETWORKS)
def test_a_cell_of_a_larger_network_is_what_the_server_says_of_it(browser, carried, name):
    assert_cells_are_the_servers(browser, *carried(name))


def assert_cells_are_the_servers(browser, path, server):
    """A corner and some cell of the first and the last layer of each storey."""
    from vitreous.server.cells import cell_of

    chosen = random.Random(2)
    places = []
    for floor in server.floors:
        for layer in dict.fromkeys((floor.nodes[0], floor.nodes[-1])):
            shape = server.graph[layer].shape[1:]
            places += [(layer, [0] * len(shape))]
            places += [(layer, [chosen.randrange(size) for size in shape])]
    refused = set()
    with opened(browser, path) as page:
        page.wait_for_selector("#walk h1")
        asked = [
            {"sample": "one", "layer": layer, "at": ",".join(map(str, index))}
            for layer, index in places
        ]
        answers = page.evaluate(ASK, asked)
    for (layer, index), found in zip(places, answers, strict=True):
        expected = cell_of(server, "one", layer, index).model_dump()
        for here, there in zip(found["steps"], expected["steps"], strict=True):
            if "refused" in here:
                refused.add(here["operation"])
                assert here["operation"] in here["refused"]
                there.clear()
                there.update(here)
        assert_alike(found, expected, f"{layer} {index}")
    assert refused <= REFUSED


def test_maps_and_kernels_are_the_networks(browser, carried):
    path, server = carried("resnet")
    trace = server.trace("one")
    with opened(browser, path) as page:
        page.wait_for_selector("#walk h1")

        def pack(name, **asked):
            return page.evaluate(PACK, [name, {"sample": "one", **asked}])

        for layer in ("input", "features.stages.1.0.activation"):
            values = trace.array(layer)
            (block,) = pack("numbers", layer=layer, channel=1)["blocks"]
            assert block["shape"] == list(values.shape[1:])
            np.testing.assert_array_equal(np.float32(block["values"]), values[1].ravel())
            found = pack("maps", layer=layer, first=0, count=2)
            activity = np.abs(values).mean((1, 2))
            np.testing.assert_allclose(found["activity"], activity, rtol=1e-5)
            assert found["blocks"][0]["channels"] == np.argsort(-activity)[:2].tolist()
            assert found["blocks"][0]["limit"] == pytest.approx(np.abs(values).max())
        (kernels,) = pack("kernels", layer="features.stem.0.convolution")["blocks"]
        assert kernels["kind"] == "colour"
        weights = server.graph.tensors["features.stem.0.convolution.weight"].detach().numpy()
        scaled = np.moveaxis(weights, 1, -1) / np.abs(weights).max()
        expected = np.rint(127.5 + 127.5 * scaled).ravel()
        assert np.abs(np.array(kernels["values"]) - expected).max() <= 1
        deeper = next(one for one in server.graph.nodes if one.name.endswith("second.convolution"))
        (kernels,) = pack("kernels", layer=deeper.name)["blocks"]
        weights = server.graph.tensors[deeper.parameters["weight"]].detach().numpy()
        strongest = np.square(weights).sum((2, 3)).argmax(1)
        assert kernels["channels"] == strongest.tolist()
        np.testing.assert_array_equal(
            np.float32(kernels["values"]), weights[np.arange(len(weights)), strongest].ravel()
        )
        names = [block["name"] for block in pack("storeys")["blocks"]]
        assert names == [floor.name for floor in server.floors if not floor.minor]


def test_a_broken_kernel_is_noticed(browser, digit_run, tmp_path):
    payload = build_payload(digit_run.folder)
    from vitreous.files import read_json

    payload["walk"] = walk = read_json(digit_run.folder / "report.json")["walk"]
    numbers = np.frombuffer(base64.b64decode(walk["numbers"]), "<f4").copy()
    kernel = walk["tensors"]["features.conv2.weight"]["offset"]
    numbers[kernel : kernel + 25] += 0.01  # of the first map, where it reads the first map
    walk["numbers"] = base64.b64encode(numbers.tobytes()).decode()
    path = tmp_path / "broken.html"
    path.write_text(render(payload))
    marks = []
    for layer in ("features.conv1", "features.conv2"):
        with opened(browser, path, f"cell?layer={layer}&at=0,4,4") as page:
            page.wait_for_selector(".steps")
            marks.append(page.locator(".result dd.wrong").count())
    assert marks == [0, 1]


def test_the_walk_goes_down_to_the_pixels_by_keyboard_alone(browser, report):
    with opened(browser, report, "cell?layer=features.conv2&at=3,4,5") as page:
        page.wait_for_selector(".steps")
        page.locator(".walkable").last.focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_url("**at=3%2C4%2C6**")
        for _ in range(12):
            page.wait_for_selector(".steps")
            links = page.locator(".matrix a, .sources a")
            if not links.count():
                break
            before = page.url
            links.first.focus()
            page.keyboard.press("Enter")
            page.wait_for_function("before => location.href !== before", arg=before)
            place = page.evaluate("decodeURIComponent(location.hash)")
            layer, at = (place.split(f"{key}=")[1].split("&")[0] for key in ("layer", "at"))
            page.wait_for_selector(f".steps[data-place='{layer}@{at}']")
        assert "layer=input" in page.url
        assert page.locator(".trail li").count() >= 4


def test_another_sample_and_the_views_by_keyboard(browser, report):
    with opened(browser, report) as page:
        page.wait_for_selector("#walk h1")
        assert (
            page.evaluate("location.hash") == ""
        )  # the address is the page's own until it is used
        assert page.evaluate("scrollY") == 0
        samples = page.locator("#walk .thumbnails a")
        assert samples.count() == 6
        assert page.locator("#walk .thumbnails .wrong").count() == 3
        samples.nth(1).focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**#/network?sample=**")
        for name in ("Layer", "Cell", "Network"):
            page.locator("#walk nav a", has_text=name).focus()
            page.keyboard.press("Enter")
            page.wait_for_url(f"**#/{name.lower()}**")
        page.locator("nav[aria-label=Contents] a").first.click()  # a place of the page itself
        page.wait_for_url("**#answer")
        assert page.locator("#walk .thumbnails a").nth(1).get_attribute("aria-current") == "true"


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_place_opens_by_its_address(browser, report, size):
    for place in PLACES:
        with opened(browser, report, place, size) as page:
            page.wait_for_selector("#walk h1")
            assert page.locator("#walk [role=alert]").all_inner_texts() == [], place
            assert page.evaluate("document.documentElement.scrollWidth") <= size["width"], place
            assert page.evaluate("scrollY") > 500, place  # turned to


@pytest.mark.parametrize(
    ("scheme", "place"), [("light", PLACES[4]), ("dark", PLACES[4]), ("light", PLACES[2])]
)
def test_axe_finds_nothing_serious(browser, report, scheme, place):
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe not found; get it with `pip install axe-playwright-python`",
    )
    with opened(browser, report, place, scheme=scheme) as page:
        page.wait_for_selector("#walk h1")
        found = axe.Axe().run(page, context="#walk").response
        assert len(found["passes"]) > 10
        serious = [one for one in found["violations"] if one["impact"] in SERIOUS]
        assert [(one["id"], one["nodes"][0]["html"]) for one in serious] == []


def test_without_scripts_the_page_says_what_is_missing(browser, report):
    with opened(browser, report, script=False) as page:
        assert "needs JavaScript" in page.inner_text("#through")
        assert page.locator("#confusion").count() == 1


def test_what_is_too_large_is_not_carried(browser, digit_run, tmp_path):
    path = tmp_path / "large.html"
    missing = "its numbers for one sample take 44.6 MiB, and this file carries at most 4"
    path.write_text(render(build_payload(digit_run.folder, Extras(walk_missing=missing))))
    with opened(browser, path) as page:
        assert missing in page.inner_text("#through")
        assert "vitreous serve" in page.inner_text("#through")
        assert page.locator("#walk, #walk-values, script[type=module]").count() == 0


def test_what_skips_storeys_is_an_arc(browser, carried):
    path, server = carried("resnet")
    adds = [node for node in server.graph.nodes if node.operation == "add"]
    with opened(browser, path) as page:
        page.wait_for_selector("#walk .arcs path")
        tips = page.locator("#walk .arcs path.tip").count()
        assert tips >= len(adds) > 0
        boxes = page.locator("#walk .arcs path:not(.tip)").evaluate_all(
            "all => all.map(one => [one.getBBox().y, one.getBBox().height])"
        )
        assert all(height > 20 for _, height in boxes)  # from one storey down to a later one
