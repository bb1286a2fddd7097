"""The explorer on a run of recordings: traces with channel names and seconds in every view."""

import pytest

from vitreous.server.views import traces_of

from .pages import (
    PHONE,
    WIDE,
    assert_accessible,
    assert_fits,
    explorer_of,
    keep_picture,
    opened,
    visit,
)

pytestmark = pytest.mark.browser

PLACES = {
    "trial answer": "answer",
    "trial network": "network",
    "trial layer": "layer?layer=features.bank.temporal",
    "trial cell": "cell?layer=features.bank.spatial&at=3,0,40",
    "trial input": "cell?layer=input&at=0,3,40",
    "trial why": "why",
    "trial training": "training",
    "trial errors": "errors",
}


@pytest.fixture(scope="module")
def explorer(trial_run):
    return explorer_of(trial_run)


@pytest.fixture(scope="module")
def address(serve, explorer):
    return serve(explorer)


@pytest.mark.parametrize(
    ("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")], ids=["wide", "phone"]
)
def test_every_view_shows_trials(browser, address, size, scheme):
    with opened(browser, address, size=size, scheme=scheme) as page:
        for name, place in PLACES.items():
            visit(page, address, place)
            keep_picture(page, f"{name}-{size['width']}")
            assert_fits(page, name, size)
            assert_accessible(page, name)


def test_places_are_named_by_channel_second_and_microvolts(browser, address, explorer, trial_run):
    made = trial_run.record.data.trials
    second = made["window_s"][0] + 40 / made["sampling_rate_hz"]
    with opened(browser, address, "cell?layer=input&at=0,3,40") as page:
        sample = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('sample')")
        volts = float(explorer.samples.pixels(sample)[0, 3, 40])
        heading = page.locator("main h1").inner_text().replace("\N{MINUS SIGN}", "-")
        assert f"{made['channels'][3]} at {second:g} s" in heading
        assert f"({volts * 1e6:.3g} µV recorded)" in heading
        reach = float(page.locator("[data-reach]").get_attribute("data-reach"))
        assert reach == traces_of(explorer, sample).reach
        assert f"±{reach * 1e6:.3g} µV" in page.locator("[data-reach]").inner_text()
        visit(page, address, "cell?layer=features.bank.spatial&at=3,0,40")
        told = page.locator("[data-field]").inner_text()
        assert told.startswith(f"{made['channels'][0]} to {made['channels'][-1]}, ")
        assert told.count(" s") == 2
        names = page.locator(".electrodes li").all_inner_texts()
        assert names == made["channels"]
        visit(page, address, "answer")
        assert page.locator(".drop").count() == 0
