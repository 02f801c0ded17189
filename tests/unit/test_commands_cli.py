"""What the commands take and print: the shapes that other programs read."""

import importlib
import json
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Final

import pytest

from provisioner import __version__
from provisioner.cli import main as cli
from provisioner.cli.setup import manifest
from provisioner.errors import Declined
from provisioner.keys import KEYS
from provisioner.verbs.create import create
from provisioner.verbs.gc import Phase, collect
from tests.support.cli import DAY, OTHER, WALLET, Yard, order, reached_yard, yard
from tests.support.simulated import KEY

ROOT: Final = Path(__file__).parents[2]
ASKED: Final = (
    *("create", "destroy", "start", "stop", "kill", "status", "list", "metrics", "throttle"),
    *("build-template", "gc", "resume", "update-gecos", "guest-exec"),
)


async def typed(it: Yard, verb: str, *words: str) -> int:
    """Run a verb as if typed; returns the exit code."""
    found = cli.VERBS[verb]
    parser = ArgumentParser(verb, allow_abbrev=False)
    found.arguments(parser)
    assert found.run is not None
    return await found.run(it.shop(), parser.parse_args(words))


# --------------------------------------------------------------------------------------- manifest


def scripts() -> dict[str, str]:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert isinstance(found, dict)
    return found


def test_the_manifest_has_every_command_and_each_is_an_executable() -> None:
    told = json.loads(manifest())
    assert tuple(told["commands"]) == ASKED
    assert told["commands"] == {verb: f"vm-{verb}" for verb in ASKED}
    assert set(told["commands"].values()) <= set(scripts())
    assert set(ASKED) <= set(cli.VERBS)
    assert told["version"] == __version__
    assert set(told["setup"]) == {
        *("first_boot_hook", "detect", "wizard_module", "finalization_steps")
    }
    assert told["setup"]["detect"].split() == ["provisioner", "detect"]
    assert told["config_keys"] == list(KEYS)
    assert {"name", "display_name", "root_agent_actions"} <= set(told)


@pytest.mark.parametrize("script", [name for name in scripts() if name.startswith("vm-")])
def test_an_executable_runs_the_verb_of_its_name(
    script: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module, _, function = scripts()[script].partition(":")
    monkeypatch.setattr("sys.argv", [script, "--help"])
    with pytest.raises(SystemExit) as ended:
        getattr(importlib.import_module(module), function)()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: {script} ")


def test_the_help_is_written_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--help"])
    said = capsys.readouterr().out
    assert ended.value.code == 0
    assert "Makes and keeps machines on Proxmox VE" in said
    assert str(cli.__doc__).splitlines()[0] not in said
    assert {verb.name for verb in cli.VERBS.values()} <= set(said.split())


# ------------------------------------------------------------------------------------------ create


async def test_the_last_line_of_create_is_its_result(capsys: pytest.CaptureFixture[str]) -> None:
    it = yard()
    words = ("web", "--owner-wallet", WALLET, "--nft-token-id", "7", "--apply")
    assert await typed(it, "create", *words) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == {
        "status": "ok",
        "vm_name": "web",
        "ip": told["ip"],
        "ipv6": None,
        "vmid": it.guest().vmid,
        "nft_token_id": 7,
        "username": "admin",
    }
    assert f"ip={told['ip']}/24" in str(it.guest().config["ipconfig0"])
    assert it.guest().os.comments == {"admin": f"wallet={WALLET},nft=7"}
    assert (it.guest().cores, it.guest().memory) == (1, 2048 * 2**20)
    assert it.guest().boot_disk_size() == 20 * 2**30


async def test_a_result_can_have_a_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("web", "--owner-wallet", WALLET, "--mock", "--result-prefix", "BLOCKHOST_RESULT: ")
    assert await typed(yard(), "create", *words) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(line.removeprefix("BLOCKHOST_RESULT: "))["status"] == "ok"


async def test_without_apply_nothing_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    it = yard()
    assert await typed(it, "create", "web", "--owner-wallet", WALLET) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["status"] == "dry-run"
    assert it.guests() == {}


async def test_without_web3_no_wallet_is_written() -> None:
    it = yard()
    words = ("web", "--owner-wallet", WALLET, "--nft-token-id", "7", "--no-web3", "--apply")
    await typed(it, "create", *words)
    assert it.guest().os.comments == {}


async def test_what_was_ordered_is_what_is_made(tmp_path: Path) -> None:
    it, key = yard(), tmp_path / "key.pub"
    key.write_text(f"{KEY}\n")
    words = (
        *("web", "--owner-wallet", WALLET, "--cpu", "2", "--memory", "1024", "--disk", "30"),
        *("--tags", "blue,green", "red", "--purpose", "to be seen", "--username", "alice"),
        *("--node", "pve", "--ip", "203.0.113.12", "--expiry-days", "3"),
        *("--ssh-key", str(key), "--apply"),
    )
    assert await typed(it, "create", *words) == 0
    guest = it.guest()
    assert (guest.cores, guest.memory) == (2, 1024 * 2**20)
    assert guest.config["tags"] == "blue;chainwatch;green;red"
    assert guest.os.account_of(KEY) == "alice"
    found = await it.shop().census.find("web")
    assert found is not None
    assert found.card is not None
    assert found.card.purpose == "to be seen"
    assert found.card.expires_at - found.card.created_at == 3 * DAY


@pytest.mark.parametrize("option", ["--cloud-init", "--cloud-init-content"])
async def test_user_data_is_named_or_handed_over(option: str, tmp_path: Path) -> None:
    it, file = reached_yard(), tmp_path / "user-data"
    file.write_text("#cloud-config\nusers: [{name: alice}]\n")
    value = "devbox" if option == "--cloud-init" else str(file)
    words = ("create", "web", "--owner-wallet", WALLET, "--apply", option, value)
    with pytest.raises(Declined, match=r"\[nodes_ssh\]"):
        await typed(yard(), *words)
    assert await typed(it, *words) == 0
    (text,) = it.cluster.state.systems["pve"].snippets.values()
    assert (text == file.read_bytes()) == (value != "devbox")


@pytest.mark.parametrize("content", [None, b"", b"\xff", b"#!/bin/sh\n", b"x" * 2**20])
async def test_a_file_without_user_data_is_refused(content: bytes | None, tmp_path: Path) -> None:
    it, file = reached_yard(), tmp_path / "user-data"
    if content is not None:
        file.write_bytes(content)
    words = ("web", "--owner-wallet", WALLET, "--apply", "--cloud-init-content", str(file))
    with pytest.raises(Declined):
        await typed(it, "create", *words)
    assert not it.cluster.inventory().calls


def test_user_data_is_one_s_own_or_ours() -> None:
    words = ["web", "--owner-wallet", WALLET, "--cloud-init", "base", "--cloud-init-content", "x"]
    with pytest.raises(SystemExit) as ended:
        cli.main(["create", *words])
    assert ended.value.code == 2


# ----------------------------------------------------------------------------------------- looking


@pytest.mark.parametrize("word", ["active", "suspended", "destroyed", "unknown"])
async def test_status_is_one_word(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    it = yard()
    if word != "destroyed":
        await create(it.shop(), order())
    if word == "suspended":
        it.cluster.advance(31 * DAY)
        await collect(it.shop(), execute=True, phases=frozenset(Phase))
    if word == "unknown":
        it.cluster.set_quorum(quorate=False)
    assert await typed(it, "status", "web") == 0
    assert capsys.readouterr().out == f"{word}\n"


async def test_a_list_is_four_columns_or_json(capsys: pytest.CaptureFixture[str]) -> None:
    it = yard()
    await create(it.shop(), order())
    assert await typed(it, "list") == 0
    name, status, ip, created = capsys.readouterr().out.removesuffix("\n").split("\t")
    assert (name, status) == ("web", "active")
    assert await typed(it, "list", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told == [{"name": "web", "status": "active", "ip": ip, "created": created}]
    assert created.endswith("Z")


async def test_the_numbers_have_the_names_that_monitoring_asks_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    it = yard()
    await create(it.shop(), order())
    it.guest().has_agent = False
    assert await typed(it, "metrics", "web") == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == [
        *("cpu_percent", "cpu_count", "memory_used_mb", "memory_total_mb", "disk_used_mb"),
        *("disk_total_mb", "disk_read_iops", "disk_write_iops", "disk_read_bytes_sec"),
        *("disk_write_bytes_sec", "net_rx_bytes_sec", "net_tx_bytes_sec", "net_connections"),
        *("guest_agent_responsive", "uptime_seconds", "state"),
    ]
    assert (told["disk_used_mb"], told["net_connections"]) == (-1, -1)
    assert told["guest_agent_responsive"] is False


# -------------------------------------------------------------------------------- gc, exec, limits


async def test_gc_says_what_it_would_do_and_does_it_only_when_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    it = yard()
    await create(it.shop(), order())
    it.cluster.advance(31 * DAY)
    assert await typed(it, "gc") == 0
    assert capsys.readouterr().out.startswith("would suspend web (VM ")
    assert it.guest().running
    assert await typed(it, "gc", "--execute", "--destroy-only", "--grace-days", "0") == 0
    assert it.guest().running
    assert await typed(it, "gc", "--execute", "--suspend-only") == 0
    assert not it.guest().running
    it.cluster.advance(60)
    assert await typed(it, "gc", "--execute", "--grace-days", "0") == 0
    assert it.guests() == {}


async def test_a_command_inside_has_its_streams_and_its_code_outside(
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    it = yard()
    await create(it.shop(), order())
    assert await typed(it, "guest-exec", "web", "echo", "-n", "--config", "x") == 0
    assert capfdbinary.readouterr().out == b"-n --config x\n"
    assert await typed(it, "guest-exec", "web", "--", "false") == 1
    assert capfdbinary.readouterr().err == b"no\n"
    assert await typed(it, "guest-exec", "--limit", "2", "web", "sleep", "50") == 124


@pytest.mark.parametrize("zone", ["eth0", "$(id)\x1b[2J"])
async def test_an_address_with_a_zone_is_refused_and_not_printed_as_it_is(zone: str) -> None:
    it = yard()
    words = ("web", "--owner-wallet", WALLET, "--ipv6", f"fe80::1%{zone}", "--apply")
    with pytest.raises(Declined, match=r"names a zone: write the address alone, fe80::1$") as said:
        await typed(it, "create", *words)
    assert str(said.value).isprintable()
    assert not it.cluster.inventory().calls


async def test_gecos_is_written_for_the_machines_own_account() -> None:
    it = yard()
    await create(it.shop(), order(user="alice"))
    assert await typed(it, "update-gecos", "web", OTHER, "--nft-id", "9") == 0
    assert it.guest().os.comments == {"alice": f"wallet={OTHER},nft=9"}
    for wallet, user in ((f"{OTHER},x", "alice"), (OTHER, "alice;reboot")):
        with pytest.raises(Declined):
            await typed(it, "update-gecos", "web", wallet, "--nft-id", "9", "--username", user)


async def test_a_line_for_each_limit(capsys: pytest.CaptureFixture[str]) -> None:
    it = yard()
    await create(it.shop(), order())
    words = ("--cpu-shares", "10", "--cpu-quota", "50", "--bandwidth-in", "100")
    assert await typed(it, "throttle", "web", *words) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    for wrong in (("--cpu-shares", "10001"), ("--cpu-quota", "0"), (), ("--reset", *words)):
        with pytest.raises(Declined):
            await typed(it, "throttle", "web", *wrong)


async def test_a_console_is_for_an_operator_and_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "console" not in json.loads(manifest())["commands"]
    with pytest.raises(Declined):
        await typed(yard(), "console", "web")
    assert capsys.readouterr().out == ""


# ----------------------------------------------------------------------- before there is a cluster


def test_an_error_is_a_sentence_and_status_says_unknown_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nowhere = ("--config", str(tmp_path / "none.toml"))
    assert cli.main(["list", *nowhere]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("list: ")
    assert "cannot be read" in said.err
    assert cli.main(["status", *nowhere, "web"]) == 0
    assert capsys.readouterr().out == "unknown\n"
    assert cli.main(["guest-exec", *nowhere, "web", "true"]) == 125


@pytest.mark.parametrize(
    "words",
    [[], ["fly"], ["create"], ["create", "web"], ["create", "--apply"], ["status"], ["gc", "web"]],
)
def test_what_was_typed_wrong_is_2(words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(words)
    assert ended.value.code == 2


def test_no_argument_takes_a_secret() -> None:
    for verb in cli.VERBS.values():
        parser = ArgumentParser()
        verb.arguments(parser)
        options = {option for action in parser._actions for option in action.option_strings}
        wanted = {o for o in options if any(w in o for w in ("secret", "password", "key", "token"))}
        assert wanted <= {"--ssh-key", "--nft-token-id", "--token"}  # a file, a number, a name


def test_this_is_no_node(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["detect"]) == (0 if Path("/etc/pve").is_dir() else 1)


def test_what_is_granted_by_hand_has_roles_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["grant", "--template", "9001", "--storage", "local", "--release", "9"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert any("ProvisionerMachines" in line and "VM.Console" in line for line in lines)
    assert not any("Chainwatch" in line for line in lines)
    assert cli.main(["grant", "--template", "1", "--storage", "s", "--token", "nobody"]) == 1
