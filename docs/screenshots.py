"""Take the docs' pictures of the explorer anew, after `make demo`.

    python -m docs.screenshots [RUN]

One of each combination of a wide window and a phone, light and dark. Look at them before they are
committed.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Literal

from tests.browser.conftest import CHROMIUM, QUIET
from tests.browser.pages import PHONE, WIDE, calm, visit

PICTURES = Path(__file__).parent / "pictures"
LAYER = "features.conv2"
SHOTS: dict[str, tuple[str, dict, Literal["light", "dark"], bool]] = {
    # the state's address, the window, the colours, whether all of the page is taken
    "explorer-layer": (f"layer?layer={LAYER}&sort=share&channel=3", WIDE, "light", True),
    "explorer-cell": (f"cell?layer={LAYER}&at=3,4,5", WIDE, "light", True),
    "explorer-why": ("why?check=1", WIDE, "dark", True),
    "explorer-network-phone": ("network", PHONE, "dark", False),
    "explorer-cell-phone": (f"cell?layer={LAYER}&at=3,4,5&felt=1", PHONE, "light", False),
}


def take(address: str) -> None:
    """Every picture from the explorer at this address."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET.split())
        for name, (place, size, scheme, whole) in SHOTS.items():
            page = browser.new_page(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(address)
            calm(page)
            visit(page, address.split("?")[0], place)
            page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
            print(PICTURES / f"{name}.png")
            page.close()
        browser.close()


def main() -> None:
    """Serve the run, take the pictures, stop."""
    run = sys.argv[1] if len(sys.argv) > 1 else "demo/run"
    call = [sys.executable, "-m", "vitreous", "serve", run, "--port", "0", "--no-open", "--json"]
    serving = subprocess.Popen(call, stdout=subprocess.PIPE, text=True)
    try:
        line = serving.stdout.readline() if serving.stdout else ""
        if not line:
            sys.exit(f"{run}: the explorer did not start; its reason stands above")
        take(json.loads(line)["url"])
    finally:
        serving.terminate()
        serving.wait(10)


if __name__ == "__main__":
    main()
