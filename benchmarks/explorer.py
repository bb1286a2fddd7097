"""How fast the explorer answers: ResNet-18 on 224 x 224 pictures, in a real Chromium.

python -m benchmarks.explorer

A run of one epoch on enlarged digits (how good it is does not matter), `vitreous serve` as a
process of its own, and a browser on the same machine. Times run from the click until what was
asked for is drawn (the second frame after it stands in the page); every opening is of a layer or a
cell that was not open before, so that nothing comes from the browser's memory.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.results import keep
from vitreous.runs.run import Run
from vitreous.runs.train import train

SIDE = 224  # pixels
PICTURES = 60
PAINTS, LAYERS, CELLS = 7, 20, 40  # repetitions
CHROMIUM = os.environ.get("VITREOUS_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"

OPEN = """async ([hash, selector]) => {
  const frame = () => new Promise(done => requestAnimationFrame(done));
  const start = performance.now();
  location.hash = hash;
  while (!document.querySelector(selector)) await frame();
  await frame();
  await frame();
  return performance.now() - start;
}"""


def make_run(folder: Path) -> Run:
    """A ResNet-18 trained for an epoch on a few digits of 224 x 224 pixels in colour."""
    values, labels = load_digits(return_X_y=True)
    for number in range(PICTURES):
        pixels = np.round(values[number].reshape(8, 8) * (255 / 16)).astype(np.uint8)
        picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        path = folder / "digits" / str(labels[number] % 2) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.merge("RGB", (picture, picture.rotate(9), picture)).save(path)
    return train(
        folder / "digits", network="resnet18", image_size=SIDE, epochs=1, out=folder / "run",
        precision="float32", compile="no", quiet=True,
    )  # fmt: skip


def main() -> None:
    """Measure and keep the medians."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        run = make_run(Path(scratch))
        started = time.perf_counter()
        server = subprocess.Popen(
            [sys.executable, "-m", "vitreous", "serve", str(run.folder), "--port", "0",
             "--no-open", "--json", "--quiet"],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        try:
            assert server.stdout
            url = json.loads(server.stdout.readline())["url"]
            until_up = time.perf_counter() - started
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(
                    executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
                )
                found = measure(browser, url)
                browser.close()
        finally:
            server.terminate()
            server.wait()
    rows = [
        row("server up after the command (torch, network, graph, data)", [until_up * 1000], None),
        row("first paint of the answer, server just up", found["first"][:1], 3000),
        row("first paint of the answer, later", found["first"][1:], 3000),
        row("opening a layer (maps, kernels, numbers)", found["layer"], 1000),
        row("opening a cell (window, sum, norm, activation, maps)", found["cell"], 200),
    ]
    keep(
        "explorer",
        "How fast does the explorer answer for ResNet-18 on 224 x 224 pictures?",
        rows,
        notes="Server and Chromium on the same two cores; medians, and the slowest in brackets.",
    )


def row(what: str, milliseconds: list[float], bar: float | None) -> dict:
    """A line of the table."""
    middle, slowest = statistics.median(milliseconds), max(milliseconds)
    value = f"{middle:,.0f} ms" + (f" ({slowest:,.0f})" if len(milliseconds) > 1 else "")
    asked = f"under {bar:,.0f} ms" if bar else ""
    return {"what": what, "value": value, "bar": asked, "n": len(milliseconds)}


def measure(browser, url: str) -> dict[str, list[float]]:
    """Milliseconds of every opening."""
    first = []
    for _ in range(PAINTS):
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        page = context.new_page()
        start = time.perf_counter()
        page.goto(url)
        page.wait_for_selector("#answer-heading")
        page.wait_for_function("() => document.querySelector('.picture img').naturalWidth > 0")
        first.append((time.perf_counter() - start) * 1000)
        context.close()
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(url)
    page.wait_for_selector("#answer-heading")
    network = page.evaluate("fetch('/api/network').then(answer => answer.json())")
    sample = page.evaluate("new URLSearchParams(location.hash.split('?')[1]).get('sample')")
    maps = [one for one in network["layers"] if one["openable"] and len(one["shape"]) == 3]
    chosen = np.random.default_rng(0)
    layers = [maps[at] for at in chosen.permutation(len(maps))[:LAYERS]]
    opened = []
    for layer in layers:
        page.evaluate("location.hash = '#/answer'")
        page.wait_for_selector("#answer-heading")
        hash_ = f"#/layer?sample={sample}&layer={layer['name']}"
        opened.append(page.evaluate(OPEN, [hash_, f"[data-layer='{layer['name']}']"]))
    cells = []
    for number in range(CELLS):
        layer = layers[number % len(layers)]
        at = ",".join(str(chosen.integers(size)) for size in layer["shape"])
        hash_ = f"#/cell?sample={sample}&layer={layer['name']}&at={at}"
        cells.append(page.evaluate(OPEN, [hash_, f"[data-place='{layer['name']}@{at}']"]))
    return {"first": first, "layer": opened, "cell": cells}


if __name__ == "__main__":
    main()
