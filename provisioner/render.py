"""Filling in templates/cloud-init, so that no value can ever be more than a value.

A value is quoted whole wherever a template prints one, by the printing itself: no template can
forget it. What comes out is parsed back and has to be the structure that the template has with
harmless words in the same places. Names, keys and wallets are held against what they may be
besides, because they go on to accounts, files and the GECOS field. What somebody wrote himself is
bounded and looked through, and passed on as it is. How it fails: with Permanent, before anything
has been sent anywhere.
"""

import importlib.resources
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_interface
from typing import Any, Final, TypeAlias

import yaml
from jinja2 import DictLoader, Environment, StrictUndefined, TemplateError

from provisioner.errors import Permanent
from provisioner.model import Addresses

Value: TypeAlias = str | tuple[str, ...]
#: What parsing gives: dictionaries, lists and plain values.
Tree: TypeAlias = Any

#: The most that a machine's user-data may come to, in characters.
LONGEST: Final = 61_440
#: What somebody's own user-data begins with, and how deep it may be nested.
HEADER: Final = "#cloud-config"
DEEPEST: Final = 32
#: The highest token id there is.
LAST_TOKEN: Final = 2**256 - 1
#: Port on which a machine's signing page is served.
SIGNING_PORT: Final = 8443
#: libyaml's where it is there: it is ten times as quick.
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_HOSTNAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
_USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
_KEY: Final = re.compile(r"[\x20-\x7e]{1,1024}")
_ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{40}")
_MACHINE_ID: Final = re.compile(r"[A-Za-z0-9:/._@#-]{1,256}")
_URL: Final = re.compile(r"https://[A-Za-z0-9.:\[\]-]{1,255}")


@dataclass(frozen=True, slots=True)
class Wallet:
    """Whose wallet opens a machine: EVM address and token, and what its signature is bound to.

    `machine_id` is what the message to be signed names, so it is no other machine's anywhere;
    `signing_url` is where the signature is made.
    """

    address: str
    token: int
    machine_id: str
    signing_url: str

    @classmethod
    def at(cls, at: Addresses, address: str, token: int, key: str, uuid: str) -> "Wallet":
        """Return the login of the machine (`key`, `uuid`) that has the addresses `at`."""
        host = ip_interface(at.ipv4 or at.ipv6 or "::").ip
        named = f"[{host}]" if host.version == 6 else str(host)
        return cls(address, token, f"{key}#{uuid}", f"https://{named}:{SIGNING_PORT}")


@dataclass(frozen=True, slots=True)
class GuestFacts:
    """What a machine's user-data says of it; `keys` are SSH public keys, one a line."""

    hostname: str
    user: str
    keys: str
    wallet: Wallet | None = None


def names() -> tuple[str, ...]:
    """Return the templates there are."""
    suffix = ".yaml.j2"
    return tuple(sorted(name.removesuffix(suffix) for name in _sources() if name.endswith(suffix)))


def user_data(template: str, facts: GuestFacts) -> str:
    """Return a machine's user-data. Raises Permanent for what must not get into one."""
    if template not in names():
        raise Permanent(f"there is no cloud-init template {template!r}: {', '.join(names())}")
    values: dict[str, Value] = {
        "hostname": _checked("host name", facts.hostname, _HOSTNAME),
        "user": _checked("user name", facts.user, _USER),
        "keys": _keys(facts.keys),
        "gecos": "" if facts.wallet is None else gecos(facts.wallet.address, facts.wallet.token),
    }
    if facts.wallet is not None:
        values["pam_web3"] = _pam_web3(facts.wallet)
    text = _filled(f"{template}.yaml.j2", values, _yaml)
    if len(text) > LONGEST:
        raise Permanent(f"user-data of {len(text)} characters, {LONGEST} at most")
    return text


def given(text: str) -> str:
    """Return user-data that somebody wrote himself. Raises Permanent where it is no cloud-config.

    It is looked through before it is parsed, so that neither its depth nor a name that stands for
    much else costs more than its length.
    """
    if len(text) > LONGEST:
        raise Permanent(f"user-data of more than {LONGEST} characters")
    if text.partition("\n")[0].rstrip() != HEADER:
        raise Permanent(f"user-data has to begin with the line {HEADER}")
    try:
        _shallow(text)
        tree = _yaml(text)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError) as error:
        raise Permanent(f"the user-data is no YAML: {_where(error)}") from None
    if not isinstance(tree, dict) or not tree:
        raise Permanent("the user-data is no YAML mapping, or an empty one")
    return text


def _shallow(text: str) -> None:
    """Refuse what is nested without end, and aliases. Raises Permanent."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent):
            raise Permanent("the user-data has an alias (`*name`): write out what it stands for")
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise Permanent(f"the user-data is nested more than {DEEPEST} deep")


def _where(error: Exception) -> str:
    """Say what is wrong and where, bounded: the text itself may be anything."""
    problem, mark = getattr(error, "problem", None), getattr(error, "problem_mark", None)
    said = ascii(str(problem or type(error).__name__))[1:201]
    return f"{said} (line {mark.line + 1})" if mark is not None else said


def gecos(address: str, token: int) -> str:
    """Return the GECOS field by which a wallet finds its account."""
    if not 0 <= token <= LAST_TOKEN:
        raise Permanent(f"{token} is no token id")
    return f"wallet={_checked('wallet', address, _ADDRESS)},nft={token}"


def _pam_web3(wallet: Wallet) -> str:
    values: dict[str, Value] = {
        "machine_id": _checked("machine id", wallet.machine_id, _MACHINE_ID),
        "signing_url": _checked("signing URL", wallet.signing_url, _URL),
    }
    return _filled("pam_web3.toml.j2", values, tomllib.loads)


def _checked(what: str, text: str, allowed: re.Pattern[str]) -> str:
    if not allowed.fullmatch(text):
        raise Permanent(f"{text[:80]!r} is no {what}")
    return text


def _keys(text: str) -> tuple[str, ...]:
    lines = [line.strip(" \r") for line in text.split("\n")]
    return tuple(_checked("SSH key", line, _KEY) for line in lines if line)


# ------------------------------------------------------------------------------- filling in


def _filled(name: str, values: Mapping[str, Value], parse: Callable[[str], Tree]) -> str:
    """Fill in a template and prove that only its values differ from what it is by itself."""
    tokens, meant = _tokens(values)
    try:
        text = _environment().get_template(name).render(values)
        skeleton = parse(_environment().get_template(name).render(tokens))
        found = parse(text)
    except (TemplateError, TypeError, yaml.YAMLError, tomllib.TOMLDecodeError) as error:
        raise Permanent(f"the template {name} cannot be filled in: {error}") from None
    if found != _substituted(skeleton, meant):
        raise Permanent(f"the template {name} came out as something else than was meant")
    return text


def _yaml(text: str) -> Tree:
    """Parse YAML as `safe_load` does."""
    return yaml.load(text, Loader=_LOADER)  # noqa: S506 - both are safe


def _tokens(values: Mapping[str, Value]) -> tuple[dict[str, Value], dict[str, str]]:
    """Return harmless words in the shape of `values`, and what each of them stands for."""
    tokens: dict[str, Value] = {}
    meant: dict[str, str] = {}
    for name, value in values.items():
        parts = (value,) if isinstance(value, str) else value
        words = tuple(f"token-{name}-{place}" for place in range(len(parts)))
        meant |= dict(zip(words, parts, strict=True))
        tokens[name] = words[0] if isinstance(value, str) else words
    return tokens, meant


def _substituted(tree: Tree, meant: Mapping[str, str]) -> Tree:
    """Return `tree` with every token, which has to be a text of its own, replaced."""
    if isinstance(tree, dict):
        return {key: _substituted(value, meant) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_substituted(value, meant) for value in tree]
    return meant.get(tree, tree) if isinstance(tree, str) else tree


@cache
def _sources() -> Mapping[str, str]:
    folder = importlib.resources.files("provisioner_templates") / "cloud-init"
    return {
        file.name: file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".j2")
    }


@cache
def _environment() -> Environment:
    return Environment(
        loader=DictLoader(_sources()),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - nothing here is HTML; `finalize` quotes every value
        finalize=_quoted,
        keep_trailing_newline=True,
    )


def _quoted(value: object) -> str:
    """Return `value` as a double-quoted text, or a list of them, for YAML and TOML alike."""
    if isinstance(value, str):
        return f'"{"".join(map(_escaped, value))}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_quoted, value))}]"
    raise TypeError(f"it prints a {type(value).__name__}, which is no value")


def _escaped(character: str) -> str:
    """Return a character as it may stand between double quotes; only plain ASCII does as it is."""
    if character in '"\\':
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
