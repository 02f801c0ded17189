"""What must never be shown, and how it is kept from being shown.

A `Secret` has no readable form: only `reveal` gives its value, so that a log line, a traceback or a
dump of the settings cannot. Whatever becomes a Secret is also known to `redact`, which every log
line passes through on its way out; it knows the usual shapes of secrets besides (headers, keys in
URLs, private keys, passwords). How it fails: a secret that no file and no URL of ours brought in,
in a shape that nobody uses, is not recognised.
"""

import base64
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

REDACTED: Final = "[redacted]"

_SHORTEST: Final = 8
_LARGEST: Final = 65_536


class Secret:
    """A value that is never shown; equal secrets are equal, and none has a readable form."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value = value
        _known.add(value)

    def reveal(self) -> bytes:
        """Return the value, for the one call that needs it."""
        return self._value

    def text(self) -> str:
        """Return the value as text. Raises ValueError when it is not UTF-8."""
        return self._value.decode()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._value == other._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(…)"


def read_secret(path: Path) -> Secret:
    """Read a secret from a file that only its owner and group may read; blank ends are dropped.

    Raises ValueError with a sentence for the operator, in which the value does not occur; nor does
    `path` unless there is such a file: it may be the secret itself, written in the wrong place.
    """
    if not path.is_absolute():
        raise ValueError("is not an absolute path")
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            value = file.read(_LARGEST + 1).strip()
    except PermissionError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from None
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror})") from None
    if stat.S_IMODE(mode) & stat.S_IRWXO:
        raise ValueError(f"{path} is open to everybody on this host; run: chmod o= {path}")
    if not _SHORTEST <= len(value) <= _LARGEST:
        raise ValueError(f"{path} holds no secret: {_SHORTEST} to {_LARGEST} bytes are expected")
    return Secret(value)


def remember_url(url: str) -> None:
    """Keep the parts of `url` that may be keys (user, path, query) out of every log line."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    for part in (userinfo, *userinfo.split(":"), *parts.path.split("/"), *parts.query.split("&")):
        _known.add(part.encode())
        _known.add(part.rpartition("=")[2].encode())


# --------------------------------------------------------------------------------------- redaction


class _Register:
    """The secrets that this process has met, in every form in which text may hold them."""

    def __init__(self) -> None:
        self._forms: set[str] = set()
        self._any: re.Pattern[str] | None = None

    def add(self, value: bytes) -> None:
        new = set(_forms(value)) - self._forms
        if new:
            self._forms |= new
            longest_first = sorted(self._forms, key=len, reverse=True)
            self._any = re.compile("|".join(map(re.escape, longest_first)))

    def hide(self, text: str) -> str:
        return self._any.sub(REDACTED, text) if self._any else text


_known: Final = _Register()


def _forms(value: bytes) -> Iterator[str]:
    """Yield the ways in which a value turns up in text; none for what is too short to tell."""
    if len(value) < _SHORTEST:
        return
    yield value.hex()
    yield value.hex().upper()
    yield base64.b64encode(value).decode().rstrip("=")
    yield base64.urlsafe_b64encode(value).decode().rstrip("=")
    yield repr(value)[2:-1]
    yield quote(value, safe="")
    text = value.decode(errors="replace")
    yield from (text, repr(text)[1:-1], json.dumps(text)[1:-1])


#: Names whose value is secret, wherever they stand before a value; paths to files are not.
CONFIDENTIAL: Final = (
    r"(?:password|passwd|passphrase|secret|mnemonic|credential"
    r"|(?:api|private|identity|signing)[_-]?key"
    r"|(?:access|auth|bearer|api)[_-]?token|PVEAPIToken|PVEAuthCookie|CSRFPreventionToken"
    r"|authorization|cookie)"
)
_QUOTED: Final = r"""b?"(?:[^"\\]|\\.)*"?|b?'(?:[^'\\]|\\.)*'?"""

_PRIVATE_KEY: Final = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_URL: Final = re.compile(r"""\b([A-Za-z][A-Za-z0-9+.-]{0,15}://)([^\s"'<>\\]*)""")
_HEADER: Final = re.compile(
    rf"""(?i)((?:authorization|cookie)\\?["']?\s*[:=,]\s*+)(?!\[redacted\])({_QUOTED}|[^\r\n"'}}]+)"""
)
_SCHEME: Final = re.compile(r"\b(Bearer|Basic|PVEAPIToken)(\s++|=)(?!\[redacted\])[^\s\"',;}]{8,}")
_NAMED: Final = re.compile(
    rf"""(?i)({CONFIDENTIAL}(?![\w-]*_file)[\w-]{{0,24}}\\?["']?\s*[:=,]\s*+)"""
    rf"""(?!\[redacted\])({_QUOTED}|[^\s"',;&}}\])]+)"""
)


def redact(text: str) -> str:
    """Return `text` without any secret that is known or that looks like one."""
    text = _PRIVATE_KEY.sub(REDACTED, _known.hide(text))
    text = _URL.sub(_host_only, text)
    text = _HEADER.sub(rf"\1{REDACTED}", text)
    text = _SCHEME.sub(rf"\1\2{REDACTED}", text)
    return _NAMED.sub(rf"\1{REDACTED}", text)


def _host_only(url: re.Match[str]) -> str:
    scheme, rest = url.groups()
    end = re.search(r"[/?#]", rest)
    authority, tail = (rest[: end.start()], rest[end.start() :]) if end else (rest, "")
    if "@" in tail:
        return f"{scheme}{REDACTED}"
    user, at, host = authority.rpartition("@")
    return f"{scheme}{REDACTED if user else ''}{at}{host}" + (
        f"/{REDACTED}" if tail.strip("/") else tail
    )
