"""Whatever buyers, admins of contracts and guests say, it stays a value, and it is bounded.

What is on the chain goes through the whole daemon into a simulated cluster, and is read back from
where it stands there. What a guest says goes through the shells and parsers that hear it. How that
fails: with one of our own errors, never with an exception that nobody meant, and never unbounded.
"""

import re
import tempfile
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chainwatch.config import Config, NodesConfig
from chainwatch.credentials import Secret
from chainwatch.domain.desired import machine_name
from chainwatch.domain.events import ZERO_ADDRESS, Event, PlanDefined, PlanTerms
from chainwatch.domain.lease import LeaseId
from provisioner.backends.proxmox import containerconfig, guestconfig
from provisioner.backends.proxmox.agent import LOOKS, AgentShell
from provisioner.backends.proxmox.answers import number, text
from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.backends.proxmox.containershell import ContainerShell
from provisioner.errors import AgentSilent, Permanent, Transient, UnknownOutcome
from provisioner.guest.container import PctShell
from provisioner.guest.ended import Ended
from provisioner.guest.node import SHOWN, STARTED, HelperShell
from provisioner.identity import MARK, Signer
from provisioner.model import Identity, Stamps
from tests.support.realm import ALICE, ALICES_KEY, GRACE, Realm, realm

OURS: Final = (AgentSilent, Permanent, Transient, UnknownOutcome)
LAST_TOKEN: Final = 2**256 - 1
LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
SIGNER: Final = Signer("test", b"s" * 32)
BARE_KEY: Final = ALICES_KEY.rpartition(" ")[0]

#: What means something to a shell, YAML, Jinja, sshd, a property string, a URL or a terminal.
NASTY: Final = st.sampled_from(
    [
        *("$(id)", "`id`", ";id", "| id", "'", '"', "\\", "#", "%0a", "%00", "&a=b", "+", "=", ","),
        *("{{ user }}", "{% raw %}", "- a", "a: b", "!!python/name:os.system", "*x", "&x", "|"),
        *("link_down=1", "ip=dhcp", "..", "/../", "-o", "--", f"{MARK}{{}}", "root:x:0:0", "\t"),
        *("\n", "\r\n", "\0", "\x1b[2J", "\x85", "\u2028", "\ufeff", "\u202e", "💥", "x" * 900),
    ]
)
TEXTS: Final = st.lists(NASTY | st.text(max_size=8), max_size=5).map("".join)
PRINTABLE: Final = TEXTS.map(lambda said: "".join(c for c in said if " " <= c <= "~")[:900])
TOKENS: Final = st.integers(0, LAST_TOKEN) | st.sampled_from([0, LAST_TOKEN, 10**20, 2**255])
JSON: Final[st.SearchStrategy[JsonValue]] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**300), 2**300)
    | st.floats()
    | TEXTS
    | st.sampled_from(["1", "-1", "0", "١", "9" * 5000, "exited", "pid"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS | st.sampled_from(["pid", "exited", "exitcode"]), inner, max_size=4)
    ),
    max_leaves=12,
)


# -------------------------------------------------------------------- from the chain to the guest


def _over_nodes(config: Config) -> Config:
    """Let machines boot with user-data of our own."""
    nodes = NodesConfig("root", 22, Secret(b"not used here"), ("pve 192.0.2.11 t k",))
    return replace(config, machines=replace(config.machines, cloud_init="devbox"), nodes=nodes)


async def _made(world: Realm, token: int, key: str) -> Mapping[str, str]:
    """Have a lease's machine made; returns its configuration, once that is in order."""
    lease = world.buy(token, key=key, lasts=GRACE)
    await world.settle()
    (vmid,) = world.running()
    facts = world.cluster.inventory().guests[vmid]
    config = {name: str(value) for name, value in facts.config.items()}
    assert LABEL.fullmatch(facts.name)
    marked = [line for line in config["description"].splitlines() if MARK in line]
    assert len(marked) == 1
    proof = world.daemon.reconciler.site.signer.prove(config["description"], vmid)
    assert proof is not None
    assert proof[0].key == str(lease)
    for keys in facts.authorized_keys.values():
        assert keys.count("\n") <= 1, "more than one line"
        assert keys == "" or keys.rstrip("\n").endswith(key.strip(" "))
    assert world.leaked() == ()
    assert world.touched_foreign() == ()
    return config


@pytest.mark.parametrize("kind", [0, 1])
@given(TOKENS, PRINTABLE, TEXTS)
@example(LAST_TOKEN, "", "x" * 5000)
@settings(max_examples=12)
async def test_a_lease_by_hostile_names_is_one_machine_that_lets_in_one_key(
    kind: int, token: int, comment: str, plan: str
) -> None:
    sold: list[Event] = [
        PlanDefined(1, plan, kind, 2, 2048, 20, GRACE),
        PlanTerms(1, ZERO_ADDRESS, 1, 0, True),
    ]
    key = f"{BARE_KEY} {comment}"
    with tempfile.TemporaryDirectory() as folder:
        async with realm(Path(folder), plan=sold) as world:
            config = await _made(world, token, key)
            (vmid,) = world.running()
            admitted = world.cluster.inventory().guests[vmid].authorized_keys.values()
            assert key.strip(" ") in [keys.rstrip("\n") for keys in admitted]
            if kind == 0:
                assert unquote(config["sshkeys"]) == key.strip(" ")
            assert await world.alarms() == {}


@given(TOKENS, PRINTABLE)
@settings(max_examples=8)
async def test_user_data_of_our_own_has_a_hostile_key_as_one_value(
    token: int, comment: str
) -> None:
    key = f"{BARE_KEY} {comment}"
    with tempfile.TemporaryDirectory() as folder:
        async with realm(Path(folder), adjust=_over_nodes) as world:
            await _made(world, token, key)
            (written,) = world.cluster.state.systems["pve"].snippets.values()
            (account,) = yaml.safe_load(written)["users"]
            assert account["ssh_authorized_keys"] == [key.strip(" ")]


@given(TEXTS)
@example(f"{ALICES_KEY}\n{ALICES_KEY}")
@example(f'command="id" {ALICES_KEY}')
@example(f"{ALICES_KEY}\0")
@example("x" * 200_000)
@settings(max_examples=8)
async def test_what_is_no_key_lets_nobody_in(key: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with realm(Path(folder)) as world:
            config = await _made(world, 1, key)
            assert "sshkeys" not in config


@given(TOKENS, st.text("0123456789abcdef", min_size=8, max_size=64))
def test_every_machine_has_a_name_that_is_a_label(token: int, nonce: str) -> None:
    assert LABEL.fullmatch(machine_name(LeaseId(1, ALICE, token), nonce))


# ---------------------------------------------------------------- what stands in a configuration


@given(st.text(max_size=60) | TEXTS, st.text(max_size=60) | TEXTS, TEXTS)
def test_a_description_has_one_signed_line_whatever_the_key(
    key: str, nonce: str, installation: str
) -> None:
    identity = Identity(installation, key, nonce, 20000)
    said = Signer(installation, b"s" * 32).describe(identity, Stamps())
    proof = Signer(installation, b"s" * 32).prove(said, 20000)
    assert proof is None or proof[0] == identity


@given(st.text(max_size=200) | TEXTS | st.builds(lambda t: f"{MARK}{t}", TEXTS) | JSON.map(str))
def test_a_description_that_anybody_wrote_proves_nothing(said: str) -> None:
    assert SIGNER.prove(said, 20000) is None


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *("name", "hostname", "description", "net0", "sshkeys", "tags", "smbios1", "agent"),
                *("ipconfig0", "boot", "scsi0", "rootfs", "digest", "lock", "nameserver", "cores"),
            ]
        ),
        JSON,
    )
)
@example({"scsi0": f"a:b,size={'9' * 400}T", "rootfs": f"a:b,size={'9' * 400}"})
def test_a_configuration_that_anybody_wrote_is_read(raw: dict[str, JsonValue]) -> None:
    for each in (guestconfig, containerconfig):
        read = each.parse(raw)
        assert isinstance(read.disk_gib, int)
        assert each.parse(raw) == read


@given(JSON)
@example(float("inf"))
@example(float("nan"))
def test_anything_is_some_text_and_some_number(value: JsonValue) -> None:
    assert isinstance(number({"a": value}, "a", 7), int)
    assert isinstance(text({"a": value}, "a"), str)


# ------------------------------------------------------------------------- what a guest says


class Saying:
    """An API and a way to nodes whose every answer is what somebody hostile says."""

    def __init__(self, *, data: JsonValue = None, ended: Ended | None = None) -> None:
        self.data, self.ended, self.calls = data, ended, 0

    async def call(
        self,
        _method: str,
        _path: str,
        _params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        self.calls += 1
        return self.data

    async def run(self, _node: str, _command: str, _content: bytes, _patience: float) -> Ended:
        self.calls += 1
        assert self.ended is not None
        return self.ended


async def _said(asked: Awaitable[object]) -> str:
    """Return what one of our own errors says, "" where there is none; no other may come."""
    try:
        await asked
    except OURS as error:
        return str(error)
    return ""


async def _at_once(_seconds: float) -> None:
    """Wait for nothing."""


@given(JSON)
@example({"pid": float("inf"), "exited": 1, "exitcode": float("nan")})
@example({"exited": 0})
async def test_whatever_an_agent_answers_ends_in_our_own_words(data: JsonValue) -> None:
    saying = Saying(data=data)
    shell = AgentShell(saying, _at_once)
    assert len(await _said(shell.end_sessions("pve", 20000, "tenant"))) < 2 * SHOWN
    assert saying.calls <= LOOKS + 1
    assert await shell.answers("pve", 20000) is True


@given(JSON)
@example([{"name": "eth0", "inet": {"a": [1]}}])
async def test_whatever_a_container_calls_its_cards_it_is_up_or_not(data: JsonValue) -> None:
    shell = ContainerShell(Saying(data=data))
    assert len(await _said(shell.answers("pve", 20000))) < 2 * SHOWN


@given(
    st.integers(-(2**31), 2**31),
    st.binary(max_size=400) | st.just(b"\xff" * 200_000),
    st.binary(max_size=400) | st.just(b"\x1b[2J" * 50_000),
    st.booleans(),
)
@example(0, b"", STARTED + b"\xff" * 10**6, True)
async def test_whatever_a_command_says_is_shown_to_people_only_and_cut(
    code: int, output: bytes, error: bytes, ran: bool
) -> None:
    ended = Ended(code, output, STARTED + error if ran else error)
    nodes = HelperShell(Saying(ended=ended))
    shell = PctShell(nodes)
    for ask in (
        shell.set_authorized_keys("pve", 20000, "tenant", ALICES_KEY),
        shell.end_sessions("pve", 20000, "root"),
        nodes.version("pve"),
        nodes.routes("pve"),
        nodes.snippets("pve"),
        nodes.isolated("pve"),
    ):
        assert len(await _said(ask)) < 4 * SHOWN
