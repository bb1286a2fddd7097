"""Requests that ask the network are answered one at a time.

While a network is captured (`networks.program`), torch puts stand-ins in the place of its
parameters and of what modules do when they are called, for all threads of the process: another
request that ran it meanwhile would get stand-ins for an answer.
"""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from threading import RLock
from typing import Any

from fastapi.routing import APIRoute

ASKING = RLock()
WITHOUT_NETWORK = ("/api/picture", "/api/patch", "/api/patches/state", "/")


class AloneRoute(APIRoute):
    """A route whose answers are made one after the other, unless no network is asked for them."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **settings: Any) -> None:
        plain = path in WITHOUT_NETWORK or iscoroutinefunction(endpoint)
        super().__init__(path, endpoint if plain else alone(endpoint), **settings)


def alone(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The function, held back while another one of these runs."""

    @wraps(endpoint)
    def call(*arguments: Any, **named: Any) -> Any:
        with ASKING:
            return endpoint(*arguments, **named)

    return call
