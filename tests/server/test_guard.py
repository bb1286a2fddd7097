"""Who is let in: host name, origin, token. A page elsewhere and another user are not."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from vitreous.server.guard import Guard

HOST = "127.0.0.1:8420"
OWN = {"host": HOST}


async def inner(scope, receive, send):
    await PlainTextResponse("inside")(scope, receive, send)


def client(token="secret", host="127.0.0.1", **cookies) -> TestClient:
    guard = Guard(inner, token, host, "vitreous-8420")
    return TestClient(guard, base_url=f"http://{HOST}", follow_redirects=False, cookies=cookies)


def test_without_the_token_nobody_is_let_in():
    for given in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer "}):
        answer = client().get("/api/run", headers=given)
        assert answer.status_code == 401
        assert "token" in answer.json()["error"]
    assert client(**{"vitreous-8420": "wrong"}).get("/api/run").status_code == 401
    assert client(**{"vitreous-1": "secret"}).get("/api/run").status_code == 401
    assert client().get("/?token=wrong").status_code == 401
    assert client().get("/api/run?token=secret").status_code == 401  # in the address: for / alone


def test_the_printed_address_sets_a_cookie_and_leaves_the_address():
    answer = client().get("/?token=secret")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "vitreous-8420=secret" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client(**{"vitreous-8420": "secret"}).get("/").text == "inside"
    assert client().get("/x", headers={"authorization": "Bearer secret"}).text == "inside"


@pytest.mark.parametrize(
    ("host", "let_in"),
    [
        ("127.0.0.1:8420", True),
        ("localhost:9000", True),  # a tunnel's port
        ("[::1]:8420", True),
        ("evil.test:8420", False),  # made to point here
        ("127.0.0.1.evil.test", False),
        ("evil.test@127.0.0.1:8420", True),  # what counts is the name behind the @
        ("127.0.0.1@evil.test", False),
        ("192.168.0.7:8420", False),  # not bound there
        ("", False),
        ("[", False),
    ],
)
def test_only_a_name_of_this_machine_is_a_host(host, let_in):
    answer = client(token=None).get("/api/run", headers={"host": host})
    assert answer.status_code == (200 if let_in else 403)


def test_bound_to_everywhere_addresses_are_hosts_and_names_are_not():
    everywhere = client(token=None, host="0.0.0.0")
    assert everywhere.get("/", headers={"host": "192.168.0.7:8420"}).status_code == 200
    assert everywhere.get("/", headers={"host": "evil.test:8420"}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://127.0.0.1:1", "https://x"])
def test_pages_of_another_origin_are_refused_with_the_right_token(origin):
    inside = client(**{"vitreous-8420": "secret"})
    assert inside.get("/api/run", headers={"origin": origin}).status_code == 403
    assert inside.post("/api/pictures", headers={"origin": origin}).status_code == 403


def test_what_changes_something_must_say_where_it_comes_from():
    inside = client(**{"vitreous-8420": "secret"})
    assert inside.post("/api/pictures").status_code == 403
    assert inside.post("/api/pictures", headers={"origin": f"http://{HOST}"}).status_code == 200
    bearer = {"authorization": "Bearer secret"}
    assert client().post("/api/pictures", headers=bearer).status_code == 200
    crossing = {"sec-fetch-site": "cross-site", "authorization": "Bearer secret"}
    assert client().post("/api/pictures", headers=crossing).status_code == 403


def test_every_answer_forbids_scripts_from_elsewhere():
    inside = client(**{"vitreous-8420": "secret"})
    for answer in (inside.get("/"), client().get("/"), client().get("/?token=secret")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_websockets_are_closed():
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), client(token=None).websocket_connect("/"):
        pass
