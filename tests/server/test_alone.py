"""Two requests never run the network at the same time."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from fastapi.testclient import TestClient

from vitreous.server.alone import AloneRoute


def test_requests_that_ask_the_network_wait_for_each_other_and_pictures_do_not():
    app = FastAPI()
    app.router.route_class = AloneRoute
    within, most, lock = 0, {"/api/cell": 0, "/api/picture": 0}, threading.Lock()

    def work(path):
        nonlocal within
        with lock:
            within += 1
            most[path] = max(most[path], within)
        time.sleep(0.05)
        with lock:
            within -= 1

    @app.get("/api/cell")
    def cell(layer: str) -> str:
        work("/api/cell")
        return layer

    @app.get("/api/picture")
    def picture() -> None:
        work("/api/picture")

    with TestClient(app) as client, ThreadPoolExecutor(4) as pool:
        cells = list(pool.map(lambda at: client.get(f"/api/cell?layer={at}").json(), "abcd"))
        list(pool.map(lambda _: client.get("/api/picture").status_code, range(4)))
    assert cells == list("abcd")
    assert most["/api/cell"] == 1
    assert most["/api/picture"] > 1
