"""What a token is granted follows from the calls that are made, and from nothing else.

The table is held against the official schema where that is at hand (9 from the pip package always),
and against what an 8.4.21 answered to a token with one privilege at a time.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from provisioner.backends.proxmox import grant
from provisioner.backends.proxmox.api import JsonValue
from provisioner.backends.proxmox.byhand import ALL
from provisioner.backends.proxmox.guestconfig import changes
from provisioner.backends.proxmox.privileges import (
    CALLS,
    KEYS,
    RELEASES,
    Estate,
    Release,
    Scope,
    missing,
    needs,
    privileges,
    with_backups,
)
from provisioner.terms import DiskLimits
from tests.support import pve_schema
from tests.support.pve import WANTED
from tests.support.recorded import scenarios
from tests.support.replay import granted

ROOT = Path(__file__).parents[2]
RECORDED = json.loads((ROOT / "tests" / "data" / "pve-8.4-privileges.json").read_text())
ESTATE = Estate((9000,), ("local-lvm",), ("vmbr0",), pool="leases")
TOKEN = "chainwatch@pve!daemon"

#: The official schemas, and which release each is of.
SCHEMAS: Final[dict[str, tuple[Release, Callable[[], pve_schema.Schemas]]]] = {
    "9, packaged": (9, pve_schema.packaged_paths),
    "8, next to us": (8, pve_schema.paths),
}
EACH_SCHEMA: Final = pytest.mark.parametrize(
    "which", ["9, packaged", pytest.param("8, next to us", marks=pve_schema.beside())]
)

#: What is called where machines are backed up before they are destroyed.
BACKED: Final = with_backups(CALLS)
#: What a token is granted besides where machines are backed up before they are destroyed.
EXTRA: Final = {
    Scope.GUESTS: {"VM.Backup"},
    Scope.BACKUPS: {"Datastore.AllocateSpace"},
}


def official(check: JsonValue) -> Iterator[tuple[str, frozenset[str]]]:
    """Yield (path, privileges of which one is enough) of a schema's check."""
    assert isinstance(check, list)
    kind, *rest = check
    if kind == "and":
        for each in rest:
            yield from official(each)
    elif kind == "or":
        either = [found for each in rest for found in official(each)]
        assert len({wanted for _, wanted in either}) == 1
        yield next(found for found in either if found[0].startswith("/pool/"))
    else:
        assert kind == "perm"
        path, names, *options = rest
        assert isinstance(names, list)
        if options == ["any", 1]:
            yield str(path), frozenset(map(str, names))
        else:
            assert not set(map(str, options)) - {"require_param", "pool"}
            yield from ((str(path), frozenset({str(name)})) for name in names)


def ours(call: str, release: Release) -> set[tuple[str, frozenset[str]]]:
    """Return what the table says that the schema of a call asks, as the schema would write it."""
    guest = "/vms/{vmid}"
    places = {
        Scope.CLUSTER: "/",
        Scope.NODES: "/nodes/{node}",
        Scope.TEMPLATE: guest,
        Scope.MACHINES: "/pool/{pool}" if call.endswith("/clone") else guest,
        Scope.STORAGE: "/storage/{storage}",
        Scope.ARCHIVE: "/storage/{storage}",
    }
    return {
        (places[need.scope], frozenset(need.alternatives(release)))
        for need in ALL[call]
        if not need.why
    }


@pytest.mark.parametrize("call", ALL)
@EACH_SCHEMA
def test_a_call_wants_what_the_official_schema_says(call: str, which: str) -> None:
    release, read = SCHEMAS[which]
    schemas = read()
    method, path = call.split(" ")
    rules = pve_schema.an_object(schemas[path][method]["permissions"])
    check = rules.get("check")
    if check is None:
        assert rules.get("user") == "all"
        assert ours(call, release) == set()
    else:
        assert ours(call, release) == set(official(check))


@EACH_SCHEMA
def test_every_privilege_is_one_that_the_release_knows(which: str) -> None:
    release, read = SCHEMAS[which]
    schemas = read()
    words = set(re.findall(r"[A-Z]\w+(?:\.[A-Z]\w+)+", json.dumps(schemas, default=dict)))
    assert {each for scope in Scope for each in privileges(scope, release, ALL)} <= words


def test_the_daemon_is_granted_nothing_that_only_the_command_line_needs() -> None:
    for release in RELEASES:
        more = {
            each
            for scope in Scope
            for each in {*privileges(scope, release, ALL)} - {*privileges(scope, release)}
        }
        assert "VM.Console" in more
        assert "VM.Console" not in {each for s in Scope for each in privileges(s, release)}


def test_nothing_of_8_alone_is_granted_on_9_and_the_other_way_round() -> None:
    on_8, on_9 = (
        {each for scope in Scope for each in privileges(scope, release)} for release in RELEASES
    )
    assert on_8 - on_9 == {"VM.Monitor"}
    assert on_9 - on_8 == {"VM.GuestAgent.Unrestricted"}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("scope", Scope)
def test_one_privilege_less_is_one_too_few(scope: Scope, release: Release) -> None:
    granted = frozenset(privileges(scope, release, BACKED))
    assert granted
    assert missing(scope, release, granted, BACKED) == ()
    for each in granted:
        assert missing(scope, release, granted - {each}, BACKED) == (each,)


@pytest.mark.parametrize("release", RELEASES)
def test_backups_take_privileges_only_where_there_are_any(release: Release) -> None:
    for scope in Scope:
        more = {*privileges(scope, release, BACKED)} - {*privileges(scope, release)}
        assert more == EXTRA.get(scope, set())
    estate = replace(ESTATE, backups="vault")
    plain = list(grant.commands(ESTATE, TOKEN, release))
    assert not any("ackup" in line for line in plain)
    lines = set(grant.commands(estate, TOKEN, release)) - set(plain)
    assert any("/storage/vault" in line and "ChainwatchBackups" in line for line in lines)


def test_another_privilege_that_does_as_well_is_not_called_missing() -> None:
    agent = {f"VM.GuestAgent.{what}" for what in ("Audit", "FileRead", "FileWrite")}
    spare = frozenset({"VM.Config.CDROM", *agent})
    on_all = frozenset(privileges(Scope.GUESTS, 9))
    granted = frozenset(privileges(Scope.MACHINES, 9))
    held = granted - {"VM.GuestAgent.Unrestricted"} | on_all | spare
    assert missing(Scope.MACHINES, 9, held) == ("VM.GuestAgent.Unrestricted",)
    unmet = [need for need in needs(Scope.MACHINES) if held.isdisjoint(need.alternatives(9))]
    assert {need.alternatives(9) for need in unmet} == {("VM.GuestAgent.Unrestricted",)}


# ------------------------------------------------------------------------------ keys of a config


def test_every_key_that_is_configured_takes_a_privilege_that_was_recorded() -> None:
    answers: Mapping[str, Mapping[str, str]] = RECORDED["answers"]
    for alternatives, keys in KEYS.items():
        # sshkeys was recorded with a key that was refused before that, cicustom among the exchanges
        # and cpulimit not at all: it goes with `cores`; a disk was not changed in place
        for key in set(keys) - {"sshkeys", "cicustom", "cpulimit", "scsi0"}:
            enough = {name for name, said in answers.items() if admits(said[key])}
            assert enough == set(alternatives), key


def test_a_snippet_is_named_with_a_privilege_that_was_recorded() -> None:
    enough = {
        privilege
        for exchange in scenarios()["03-privileges"]
        if "cicustom" in exchange.params and exchange.told["status"] == 200
        for grant in granted(exchange.asker)
        for privilege in grant.privileges - {"VM.Audit"}
    }
    (alternatives,) = [each for each, keys in KEYS.items() if "cicustom" in keys]
    assert enough == set(alternatives)


def admits(said: str) -> bool:
    """Say whether the guest's own list let it pass; a bridge has a list of its own."""
    return said == "ok" or said.endswith("(/sdn/zones/localnetwork/vmbr0, SDN.Use)")


def test_every_key_that_is_ever_sent_is_in_the_table() -> None:
    limited = replace(WANTED, cpu_limit=1.5, disk_limits=DiskLimits(iops_read=5))
    raw: dict[str, JsonValue] = {"boot": "order=scsi0", "scsi0": "local:1/x.raw,size=1G"}
    sent = set(changes(raw, limited, "ours")) - {"delete"}
    known = {key for keys in KEYS.values() for key in keys}
    assert sent <= known
    assert known - sent <= {"protection", "cicustom"}  # for a machine on hold, with a snippet


# --------------------------------------------------------------------------- what is printed


def typed(*options: str) -> list[str]:
    """Return what `chainwatch proxmox grant` prints."""
    command = [sys.executable, "-m", "chainwatch", "proxmox", "grant", *options]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_both_releases_are_told_apart_where_none_is_named() -> None:
    where = ("--template", "9000", "--storage", "local-lvm")
    both = typed(*where)
    middle = both.index("# Proxmox VE 9")
    assert both[:middle] == typed(*where, "--release", "8")
    assert both[middle:] == typed(*where, "--release", "9")
    assert both[1:middle] == list(grant.commands(ESTATE, TOKEN, 8))


@pytest.mark.parametrize("release", RELEASES)
def test_the_printed_roles_are_what_the_calls_need_and_each_stands_on_its_path(
    release: Release,
) -> None:
    roles: dict[str, set[str]] = {}
    lists: dict[str, set[str]] = {}
    for line in grant.commands(ESTATE, TOKEN, release):
        match shlex.split(line):
            case ["pveum", "role", "add", role, "--privs", names]:
                roles[role] = set(names.split(","))
            case ["pveum", "acl", "modify", path, "--roles", role, "--propagate", _, *who]:
                assert who == ["--users", "chainwatch@pve", "--tokens", TOKEN]
                lists[path] = roles[role]
            case other:
                assert other[1:3] in (["pool", "add"], ["user", "add"], ["user", "token"])
    assert lists == {
        path: set(privileges(scope, release)) for scope in Scope for path in ESTATE.paths(scope)
    }
    assert set(lists) == {
        *("/", "/nodes", "/vms", "/vms/9000", "/pool/leases", "/storage/local-lvm"),
        "/sdn/zones/localnetwork/vmbr0",
    }


def test_every_printed_option_is_one_of_the_official_interface() -> None:
    calls = {
        ("pool", "add"): ("POST", "/pools", ("poolid",)),
        ("role", "add"): ("POST", "/access/roles", ("roleid",)),
        ("role", "modify"): ("PUT", "/access/roles/{roleid}", ("roleid",)),
        ("user", "add"): ("POST", "/access/users", ("userid",)),
        ("acl", "modify"): ("PUT", "/access/acl", ("path",)),
    }
    token = ("POST", "/access/users/{userid}/token/{tokenid}", ("userid", "tokenid"))
    lines = [*grant.commands(ESTATE, TOKEN, 9), grant.role_line(Scope.MACHINES, ["VM.Audit"])]
    for line in lines:
        _, *words = shlex.split(line)
        is_token = words[:3] == ["user", "token", "add"]
        method, path, names = token if is_token else calls[words[0], words[1]]
        rest = words[3 if is_token else 2 :]
        given = dict(zip(names, rest, strict=False))
        options = rest[len(names) :]
        given |= {o.removeprefix("--"): v for o, v in zip(options[::2], options[1::2], strict=True)}
        for _, read in SCHEMAS.values():
            rules = pve_schema.an_object(read()[path][method]["parameters"])
            known = pve_schema.an_object(rules["properties"])
            pve_schema.check_parameters(line, known, given)


def test_without_a_pool_the_machines_are_all_guests_and_it_says_so() -> None:
    lines = typed("--template", "9000", "--storage", "local", "--pool", "", "--release", "9")
    assert lines[0].startswith("# Without a pool")
    assert not any(" pool add " in line or "/pool/" in line for line in lines)
    assert any(
        line.startswith("pveum acl modify /vms --roles ChainwatchMachines") for line in lines
    )


def test_names_cannot_turn_into_commands() -> None:
    estate = Estate((9000,), ("a; rm -rf /",), ("$(id)",), pool="`x`")
    for line in grant.commands(estate, "u@pve!t;x", 8):
        words = shlex.split(line)
        assert words[0] == "pveum"
        assert shlex.join(words) == line


def test_the_readme_and_the_guide_show_what_the_command_prints() -> None:
    printed = list(grant.commands(ESTATE, TOKEN, 9))
    guide = (ROOT / "docs" / "howto" / "proxmox-token.md").read_text()
    assert [line.strip() for line in guide.splitlines() if "pveum" in line.split("`")[0]] == printed
    readme = (ROOT / "README.md").read_text()
    assert "chainwatch proxmox grant" in readme
    assert "pveum role add" not in readme
