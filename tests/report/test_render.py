"""The page: whole and self-contained for every task, whatever the names in the data."""

import json
import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from vitreous.report.extras import Extras
from vitreous.report.notebook import summary_html
from vitreous.report.payload import build_payload
from vitreous.report.render import SECTIONS, render, write_report

BASELINE = "logistic regression on 16x16 thumbnails"
VOID = {"meta", "br", "img", "wbr"}
EVIL = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "<b>& 'quoted' \"twice\"</b>",
    "$policy ${style} $$",
    "a\x00b\x1bc",
    "مرحبا 漢字 🐈",
]


class Page(HTMLParser):
    """Elements that are open at the end, ids, addresses, and all text."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.ids, self.addresses, self.words, self.tags = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        self.addresses += [attributes[k] for k in ("src", "href") if attributes.get(k)]
        if "id" in attributes:
            self.ids.append(attributes["id"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def pages(fabricate, tmp_path_factory):
    """A page of each kind of run, by name."""
    made = {
        "two": lambda folder: fabricate.classify(folder, 2),
        "ten": fabricate.classify,
        "many": lambda folder: fabricate.classify(folder, 120),
        "interrupted": lambda folder: fabricate.classify(folder, status="interrupted"),
        "multilabel": fabricate.multilabel,
        "regress": fabricate.regress,
    }
    root = tmp_path_factory.mktemp("pages")
    return {name: write_report(root / name, make(root / name)) for name, make in made.items()}


@pytest.mark.parametrize("name", ["two", "ten", "many", "interrupted", "multilabel", "regress"])
def test_every_page_is_well_formed_and_asks_for_nothing(pages, name):
    html = pages[name].read_text()
    page = Page(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert {a[1:] for a in page.addresses if a[0] == "#"} <= set(page.ids)
    assert "@import" not in html
    assert "url(" not in html
    assert pages[name].stat().st_size < 3_000_000
    assert json.loads((pages[name].parent / "report.json").read_text())["format"] == 1


@pytest.mark.parametrize("name", ["ten", "multilabel", "regress"])
def test_every_picture_and_chart_is_described_and_headings_go_in_order(pages, name):
    page = Page(pages[name].read_text())
    for tag, attributes in page.tags:
        if tag == "img":
            assert attributes["alt"]
        if tag == "svg":
            assert attributes.get("aria-label") or attributes.get("aria-hidden") == "true"
        if tag == "th":
            assert attributes["scope"] in ("row", "col")
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_the_answer_stands_first_with_interval_and_baselines(pages):
    evaluation = json.loads((pages["ten"].parent / "evaluation.json").read_text())
    page = Page(pages["ten"].read_text())
    score = evaluation["metrics"]["accuracy"]
    words = page.text.replace("\xa0", " ")
    said = f"{100 * score['value']:.1f} % accuracy on the test part"
    span = f"95 % interval {100 * score['low']:.1f} to {100 * score['high']:.1f} %"
    assert words.index(said) < words.index(span) < words.index("Pictures of each class")
    for baseline, metrics in evaluation["baselines"].items():
        assert f"{baseline} {100 * metrics['accuracy']['value']:.1f} %" in words
    sections = [a["id"] for tag, a in page.tags if tag == "section"]
    assert sections[:2] == ["answer", "data"]
    assert set(sections) == SECTIONS.keys() - {"predictions", "listening", "through", "boxes"}


def test_a_network_below_its_baseline_is_told_so(pages):
    payload = build_payload(pages["ten"].parent)
    metrics = payload["evaluation"]["metrics"]
    assert "It does not beat" not in render(payload)
    metrics["accuracy"] = payload["evaluation"]["baselines"][BASELINE]["accuracy"]
    assert "It only equals" in render(payload)
    metrics["accuracy"] = {**metrics["accuracy"], "value": 0.5, "low": 0.45, "high": 0.55}
    assert "It does not beat" in render(payload)


def test_for_errors_less_is_better(pages):
    words = Page(pages["regress"].read_text()).text.replace("\xa0", " ")
    assert "mg better than the best baseline, mean of the training part" in words
    assert "less is better" in words


def test_the_metric_that_chose_the_weights_is_the_headline(pages):
    payload = build_payload(pages["ten"].parent)
    payload["run"]["best"]["metric"] = "val_balanced_accuracy"
    words = Page(render(payload)).text
    assert "balanced accuracy on the test part" in words


def test_training_that_ended_before_its_plan_says_so(pages):
    payload = build_payload(pages["ten"].parent)
    assert "stopped early" not in render(payload)
    payload["run"]["planned_steps"] = 1000
    words = Page(render(payload)).text
    assert "400 of 1,000 planned steps: training stopped early" in words
    payload["run"]["status"] = "interrupted"
    assert "stopped early" not in render(payload)


def test_an_undefined_metric_says_why_and_is_no_headline(pages):
    payload = build_payload(pages["ten"].parent)
    payload["evaluation"]["metrics"]["accuracy"] |= {
        "value": None,
        "low": None,
        "high": None,
        "method": "undefined: no test pictures",
    }
    words = Page(render(payload)).text
    assert "undefined: no test pictures" in words
    assert "accuracy on the test part" in words
    assert not re.search(r"– accuracy on the test part", words)


def test_a_picture_that_was_not_kept_is_an_empty_frame(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path)
    evaluation = json.loads((tmp_path / "evaluation.json").read_text())
    lost = evaluation["most_wrong"][0]["sample_id"]
    assert "picture not kept" not in write_report(tmp_path, extras).read_text()
    kept = {name: png for name, png in extras.pictures.items() if name != lost}
    html = write_report(tmp_path, Extras(kept)).read_text()
    assert html.count("picture not kept") == 2  # most wrong, and a label to look at
    assert "Inside the network" not in html


def test_an_interrupted_run_says_that_there_is_no_score(pages):
    page = Page(pages["interrupted"].read_text())
    assert "interrupted before the test part was scored" in page.text
    assert "Best on validation" in page.text
    assert not any(a.get("id") == "confusion" for _, a in page.tags)


def test_few_classes_have_a_table_and_many_have_pairs(pages):
    for name, size in (("two", 2), ("ten", 10)):
        table = re.search(
            r'<table class="confusion.*?</table>', pages[name].read_text(), re.DOTALL
        )[0]
        cells = re.findall(r'<td class="(?:right|wrong|zero)', table)
        assert len(cells) == size * size
    many = pages["many"].read_text()
    assert '<table class="confusion' not in many
    assert "The most frequent confusions" in many
    drawn = re.search(r'<svg viewBox="0 0 120 120".*?</svg>', many, re.DOTALL)[0]
    matrix = json.loads((pages["many"].parent / "evaluation.json").read_text())["confusion"]
    filled = sum(n > 0 for row in matrix["matrix"] for n in row)
    assert drawn.count("h1v1h-1z") == filled


@pytest.mark.parametrize("evil", EVIL)
def test_names_from_the_data_are_text_and_never_markup(fabricate, tmp_path, evil):
    extras = fabricate.classify(tmp_path, 2)
    clean = [tag for tag, _ in Page(write_report(tmp_path, extras).read_text()).tags]
    fabricate.rename_class(tmp_path, "three", evil)
    fabricate.rename_class(tmp_path, "3/0412.png", f"{evil}.png")
    page = Page(write_report(tmp_path, extras).read_text())
    assert page.open == []
    assert [tag for tag, _ in page.tags if tag != "wbr"] == [t for t in clean if t != "wbr"]
    shown = evil.replace("\x00", "\ufffd").replace("\x1b", "\ufffd")
    assert " ".join(shown.split()) in page.text
    html = (tmp_path / "report.html").read_text()
    figures = re.search(r'id="figures">(.*?)</script>', html, re.DOTALL)[1]
    assert evil in json.loads(figures)["run"]["classes"]


def test_trained_weights_are_named_in_the_paragraph_for_the_paper(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, 2)
    run = json.loads((tmp_path / "run.json").read_text())
    assert "starting from the weights" not in Page(write_report(tmp_path, extras).read_text()).text
    run["network"] |= {"weights": "lite0.pth", "weights_seen": "ImageNet-1k"}
    run["best"]["epoch"] = 0
    (tmp_path / "run.json").write_text(json.dumps(run))
    text = Page(write_report(tmp_path, extras).read_text()).text
    assert "starting from the weights lite0.pth (trained on ImageNet-1k), with Vitreous" in text
    assert "The weights from before the first epoch were kept" in text


def test_half_surrogates_in_a_name_do_not_stop_the_page(pages):
    payload = build_payload(pages["two"].parent)
    payload["run"]["data"]["root"] = "/data/caf\udce9"
    render(payload).encode()


def test_the_page_is_a_function_of_the_payload_alone(pages):
    folder = pages["regress"].parent
    payload = json.loads((folder / "report.json").read_text())
    assert render(payload) == pages["regress"].read_text()


def test_the_script_is_the_only_one_allowed(pages):
    html = pages["ten"].read_text()
    assert "default-src &#x27;none&#x27;" in html
    assert html.count("<script>") == 1
    assert "script-src &#x27;sha256-" in html


def test_a_failed_report_leaves_the_old_one(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, 2)
    before = write_report(tmp_path, extras).read_bytes()
    (tmp_path / "evaluation.json").write_text('{"metrics": ')
    with pytest.raises(Exception, match=r"evaluation\.json: not readable"):
        write_report(tmp_path, extras)
    assert (tmp_path / "report.html").read_bytes() == before
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob(".*.partial"))


@pytest.mark.parametrize("name", ["ten", "multilabel", "regress"])
def test_the_notebook_fragment_carries_the_score(pages, name):
    run = json.loads((pages[name].parent / "run.json").read_text())
    evaluation = json.loads((pages[name].parent / "evaluation.json").read_text())
    page = Page(str(summary_html(run, evaluation)))
    assert page.open == []
    assert page.addresses == []
    assert "95 % interval" in page.text
    assert "best baseline" in page.text
    assert "lenet5" in page.text


def test_the_notebook_fragment_without_a_score_and_with_an_evil_name(pages):
    run = json.loads((pages["ten"].parent / "run.json").read_text())
    run["network"]["name"], run["status"] = "<script>alert(1)</script>", "interrupted"
    html = str(summary_html(run, None))
    assert "no test score yet" in html
    assert "<script" not in html


def test_without_a_validation_part_no_temperature_is_claimed(pages, fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, 2)
    scaled = Page(pages["two"].read_text()).text
    assert "Temperature, fitted on validation" in scaled
    assert "after scaling" in scaled
    path = tmp_path / "split.csv"
    path.write_text(re.sub(r"\bval\b", "train", path.read_text()))
    text = Page(write_report(tmp_path, extras).read_text()).text
    assert "There is no validation part that a temperature could be fitted on" in text
    for words in ("Temperature, fitted", "ECE before", "ECE after", "after scaling"):
        assert words not in text
