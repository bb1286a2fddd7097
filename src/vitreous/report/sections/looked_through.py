"""The place of a viewer in a page; `static/planes.js` makes it from the scans that go with it."""

from vitreous.report.markup import Html, tag
from vitreous.report.scan_shown import ScanShown, shown_words


def viewer(place: int, shown: ScanShown, *, opened: bool = False) -> Html:
    """Where the page's scan of this number (from 0) is looked through.

    Without a script there is only the sentence that says what it holds. `opened`: at once, not by
    a button.
    """
    button = tag("button", {"type": "button", "hidden": True}, "Look through this scan")
    attributes = {"class": "scan-viewer", "data-scan": str(place), "data-open": opened}
    words = tag("p", None, tag("small", None, shown_words(shown)))
    return tag("div", None, tag("div", attributes, button), words)
