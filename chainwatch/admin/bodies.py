"""What requests say, checked, and how answers are written: JSON both ways.

A body is an object of texts, but for the lists that a route names; whatever else is in it is
refused and named, so that a slip is no silent default. How it fails: with OperatorError, which says
what to send.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Final, get_args

from aiohttp import web

from chainwatch.admin.peers import Peer
from chainwatch.errors import OperatorError
from chainwatch.store.holds import Scope
from provisioner.model import Verb

#: How many lines a list has when nobody says, and at most.
LINES: Final = 50
MOST_LINES: Final = 10_000
#: What a block's number stays below: the largest that the store can hold.
MOST_BLOCKS: Final = 2**63
#: The most words that a list in a body may have.
MOST_WORDS: Final = 1024
#: The most digits of a number in a body.
LONGEST_NUMBER: Final = 18
PEER: Final = web.RequestKey("peer", Peer)


def answered(answer: object, *, status: int = 200) -> web.Response:
    """Return an answer."""
    text = json.dumps(_plain(answer), separators=(",", ":"))
    return web.Response(text=text + "\n", status=status, content_type="application/json")


def _plain(answer: object) -> object:
    if isinstance(answer, list | tuple):
        return [_plain(each) for each in answer]
    if is_dataclass(answer) and not isinstance(answer, type):
        return asdict(answer)
    return answer


def refused(sentence: str, status: int) -> web.Response:
    """Return what went wrong, in one sentence."""
    return answered({"error": sentence}, status=status)


async def body_of(request: web.Request, *keys: str) -> Mapping[str, str]:
    """Read an order's body: exactly `keys`, each a text; a reason may be left out."""
    body = await _object(request)
    return _texts(body, keys)


async def words_of(
    request: web.Request, name: str, *keys: str
) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Read an order's body that has a list of words, and `keys`, each a text, besides."""
    body = await _object(request)
    words = body.pop(name, None)
    if not isinstance(words, list) or not all(isinstance(each, str) for each in words):
        raise OperatorError(f"{name} is not a list of texts")
    if len(words) > MOST_WORDS:
        raise OperatorError(f"{name} has more than {MOST_WORDS} texts")
    return tuple(words), _texts(body, keys)


async def _object(request: web.Request) -> dict[str, object]:
    raw = await request.read()
    try:
        body: object = json.loads(raw or b"{}")
    except ValueError:
        raise OperatorError('the body is not JSON; send {"reason": "…"}') from None
    if not isinstance(body, dict):
        raise OperatorError("the body is not an object of texts")
    return body


def _texts(body: Mapping[str, object], keys: Sequence[str]) -> Mapping[str, str]:
    texts = {name: value for name, value in body.items() if isinstance(value, str)}
    if len(texts) < len(body):
        raise OperatorError("the body is not an object of texts: " + ", ".join(keys))
    if unknown := texts.keys() - set(keys):
        raise OperatorError(f"unknown in the body: {', '.join(unknown)}; send {', '.join(keys)}")
    return {"reason": "", "scope": "", **texts}


def number_of(body: Mapping[str, str], name: str) -> int | None:
    """Return a number of a body, None where it says none."""
    text = body.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER):
        raise OperatorError(f"{name} is no number")
    return int(text)


def query_of(request: web.Request, *keys: str) -> Mapping[str, str]:
    """Return a query that has `keys` at most."""
    if unknown := request.query.keys() - set(keys):
        known = ", ".join(keys)
        raise OperatorError(f"unknown in the query: {', '.join(unknown)}; known are {known}")
    return request.query


def limit_of(query: Mapping[str, str], default: int = LINES) -> int:
    """Return how many lines are wanted."""
    text = query.get("limit", str(default))
    if not (text.isascii() and text.isdecimal() and 0 < int(text) <= MOST_LINES):
        raise OperatorError(f"limit is not a number from 1 to {MOST_LINES}")
    return int(text)


def scope_of(text: str) -> Scope:
    """Return what is to be paused."""
    for scope in get_args(Scope):
        if text == scope:
            known: Scope = scope
            return known
    raise OperatorError(f"scope is neither of {', '.join(get_args(Scope))}")


def verb_of(text: str) -> Verb:
    """Return what is ordered."""
    if text not in list(Verb):
        raise OperatorError(f"order is none of {', '.join(Verb)}")
    return Verb(text)


def block_of(text: str) -> int:
    """Return the number of a block."""
    if not (text.isascii() and text.isdecimal() and int(text) < MOST_BLOCKS):
        raise OperatorError("block is not the number of a block")
    return int(text)


def order_number(request: web.Request) -> int:
    """Return the number of the order that a route names."""
    text = request.match_info["number"]
    if not (text.isascii() and text.isdecimal() and int(text) < 2**63):
        raise OperatorError("the order's number is not one; `chainwatch show` lists them")
    return int(text)


def vmid_of(request: web.Request) -> int:
    """Return the VMID that a route names."""
    text = request.match_info["vmid"]
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise OperatorError("the VMID is no number of a guest")
    return int(text)


def source_of(request: web.Request) -> str:
    """Return the source that a route names."""
    return request.match_info["source"]


def lease_of(request: web.Request) -> str:
    """Return the lease that a route names."""
    return request.match_info["lease"]


def uid_of(request: web.Request) -> int:
    """Return the user who asks."""
    return request[PEER].uid
