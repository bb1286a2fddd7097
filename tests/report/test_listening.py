"""The section about what a decoder of EEG listens to, and that trials are called trials."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from tests.report.made_listening import NAMES, made_listening

from vitreous.files import read_json, write_json
from vitreous.report.brain_charts import head, response_chart
from vitreous.report.extras import Extras
from vitreous.report.listening_shown import listening_shown
from vitreous.report.render import write_report
from vitreous.report.sections.listening import listening_section
from vitreous.training.recipe import Recipe


@pytest.fixture(scope="module")
def shown():
    return listening_shown(made_listening())


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def test_filters_stand_beside_patterns_with_their_electrodes(shown):
    json.dumps(shown, allow_nan=False)
    best = shown["heads"][0]
    assert best["title"] == "map 2"
    assert best["curve"]["peak_hz"] == pytest.approx(10, abs=0.3)
    name, value = best["pattern"]["strongest"][0]
    assert (name, abs(value)) == ("C3", 1)
    assert [one["name"] for one in best["pattern"]["electrodes"]] == list(NAMES)
    assert best["pattern"]["picture"].startswith("data:image/png;base64,")
    drawn = head(best["pattern"], "Pattern of map 2")
    assert 'aria-label="Pattern of map 2, seen from above, nose up; strongest at C3 ' in drawn
    for name in NAMES:
        assert f">{name}</text>" in drawn
    html = listening_section(shown)
    assert html.count('class="head"') == 2 * len(shown["heads"])
    said = text_of(html)
    for words in ("frequency (Hz)", "peak 10.0 Hz", "filter:", "pattern:", "8 to 13", "alpha"):
        assert words in said


def test_curves_are_drawn_within_what_the_data_holds_and_with_their_peaks():
    found = made_listening(kept_hz=(0.5, 45.0))
    shown = listening_shown(found)
    assert (shown["frequencies_hz"][0], shown["frequencies_hz"][-1]) == (0.5, 45)
    assert all(0.5 <= one["peak_hz"] <= 45 for one in shown["curves"])
    assert "30 to 45" in text_of(listening_section(shown))
    fast = replace(found, kept_hz=(0.0, 128.0), heads=(), spectra=(
        replace(found.spectra[0], frequencies_hz=np.linspace(0, 128, 513),
                gain=np.arange(513.0) * (np.arange(513) < 300), kept_hz=(0.0, 128.0)),
    ))  # fmt: skip
    [curve] = listening_shown(fast)["curves"]
    assert 70 < curve["peak_hz"] < listening_shown(fast)["frequencies_hz"][-1]


def test_many_kernels_are_drawn_as_what_half_of_them_let_through():
    found = made_listening()
    many = replace(found, spectra=found.spectra * 5, whose="5 networks")
    shown = listening_shown(many)
    assert shown["curves"] == []
    gains = np.array([one["gain"] for one in listening_shown(found)["curves"]] * 5)
    np.testing.assert_allclose(shown["spread"]["median"], np.median(gains, axis=0), atol=1e-4)
    inside = (gains >= shown["spread"]["lower"]) & (gains <= shown["spread"]["upper"])
    assert 0.45 < inside.mean() < 0.75
    html = listening_section(shown)
    assert html.count(": peak at ") == 40 + len(shown["heads"]) * 2
    assert html.count('class="line many"') == 40
    assert "the 40 temporal kernels of 5 networks" in text_of(html)


def test_letters_of_bands_stand_where_there_is_room_for_them():
    shown = listening_shown(made_listening())
    letters = {}
    for highest_hz in (40.0, 500.0):
        frequencies = np.linspace(0, highest_hz, 96).tolist()
        curve = {**shown["heads"][0]["curve"], "gain": [0.5] * 96}
        chart = str(response_chart([curve], frequencies, shown["bands"], "", size=(300, 200)))
        letters[highest_hz] = [letter for letter in "δθαβγ" if f">{letter}</text>" in chart]
        assert chart.count('class="grid"') == 5
    assert letters == {40.0: ["δ", "θ", "α", "β", "γ"], 500.0: ["β", "γ"]}


def test_shares_of_all_frequencies_sum_to_all_of_them():
    """Below 1 Hz lies no band: what is there has a row of its own."""
    html = listening_section(listening_shown(made_listening()))
    table = text_of(html[html.index("Where the squared gain lies") :]).split("Spatial filters")[0]
    shares = [float(found) for found in re.findall(r"([\d.]+)\s*%", table)]
    assert "other frequencies" in table
    assert sum(shares[0::2]) == pytest.approx(100, abs=0.5)
    assert sum(shares[1::2]) == pytest.approx(100, abs=0.5)


def test_what_each_part_is_worth_has_an_interval(shown):
    rows = {row["name"]: row for row in shown["taken_away"]}
    assert rows["alpha"]["lost"] > 0.2
    assert rows["alpha"]["low"] > 0
    assert rows["delta"]["lost"] == 0
    said = text_of(listening_section(shown))
    low, high = (f"{100 * rows['alpha'][end]:.1f}" for end in ("low", "high"))
    assert f"{low} to {high}" in said
    assert "no sign that the decoder lives on eyes or muscles" in said
    assert "Alarm" not in said


def test_a_decoder_of_the_eyes_raises_the_alarm_in_the_report():
    html = listening_section(listening_shown(made_listening(eyes=True)))
    said = text_of(html)
    assert "Alarm: not the brain?" in said
    assert "without eyes (Fp1, Fp2) accuracy falls from" in said
    assert 'class="remark warning"' in html


def test_without_places_the_strongest_channels_are_told():
    found = listening_shown(made_listening(places=False))
    html = listening_section(found)
    assert 'class="head"' not in html
    assert "C3 (" in text_of(html)
    assert listening_section(None) is None


def test_a_report_of_recordings_speaks_of_trials(fabricate, tmp_path):
    extras = fabricate.classify(tmp_path, 2)
    for name in ("run.json", "evaluation.json"):  # what these say in words is not the page's
        told = json.dumps(read_json(tmp_path / name)).replace("pictures", "trials")
        write_json(tmp_path / name, json.loads(told) | {"signal": "eeg"})
    run = read_json(tmp_path / "run.json")
    write_json(tmp_path / "run.json", run | {"recipe": Recipe(32, 1e-3).to_json()})
    page = write_report(tmp_path, Extras(network_table=extras.network_table,
                                         listening=made_listening()))  # fmt: skip
    html = page.read_text()
    assert 'id="listening"' in html
    body = text_of(html[html.index("<main") : html.index("</main>")])
    body = body.replace("not a picture", "")  # a reason in the made-up table of skipped files
    assert not re.search(r"\bpictures?\b|\bpixels?\b", body, re.IGNORECASE), re.findall(
        r".{60}\b(?:pictures?|pixels?)\b.{30}", body, re.IGNORECASE
    )
    assert "test trials" in body
    menu = text_of(html[html.index("<nav") : html.index("</nav>")])
    assert "Most wrong" in menu
    assert "Pictures" not in menu
    for words in ("flip", "mosaic", "erase", "upside down", "Mixup"):  # settings of pictures
        assert words not in body
    assert "Learning rate" in body
