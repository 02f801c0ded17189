"""The executables as other programs call them, against a simulated cluster behind HTTPS.

Few, for each start costs half a second: what the verbs do is held in process elsewhere.
"""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
import pytest_asyncio

from chainwatch.demo import cluster
from provisioner import faultpoints

WALLET: Final = "0x" + "aB" * 20
FIRST: Final = 40_000
PREFIX: Final = "BLOCKHOST_RESULT: "


@dataclass(frozen=True, slots=True)
class Said:
    """How an executable ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, object]:
        """The JSON of the last line, behind its prefix."""
        told: dict[str, object] = json.loads(self.out.splitlines()[-1].removeprefix(PREFIX))
        return told


@dataclass(frozen=True, slots=True)
class Host:
    """A host with the executables and their settings."""

    machines: cluster.Cluster
    settings: Path

    async def type(self, command: str, *words: str, **environ: str) -> Said:
        """Run an executable that lies beside the interpreter."""
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).parent / command,
            *(("--config", str(self.settings), *words) if command != "provisioner" else words),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            env={"PATH": "/usr/bin:/bin", **environ},
        )
        out, err = await process.communicate()
        return Said(process.returncode or 0, out.decode(), err.decode())

    async def ours(self) -> list[cluster.Guest]:
        """The machines that the executables have made."""
        where = self.machines.where
        return (await self.machines.inventory()).made_by(where.token_id)


@pytest_asyncio.fixture
async def host(tmp_path: Path) -> AsyncIterator[Host]:
    async with cluster.running(tmp_path / "proxmox", speed=200.0, clone_seconds=20.0) as machines:
        where, key = machines.where, tmp_path / "identity-key"
        key.write_text("k" * 40)
        key.chmod(0o600)
        settings = tmp_path / "provisioner.toml"
        settings.write_text(
            f'[installation]\nid = "here-1"\nidentity_key_file = "{key}"\n'
            f'[proxmox]\nurl = "{where.url}"\ntoken_id = "{where.token_id}"\n'
            f'token_file = "{where.token_file}"\nca_file = "{where.ca_file}"\n'
            f"[machines]\nvmid_first = {FIRST}\nvmid_last = {FIRST + 19}\n"
            f'template_vms = [{where.template}]\nnameserver = "192.0.2.53"\n'
            '[machines.ipv4]\nfirst = "203.0.113.10/24"\ngateway = "203.0.113.1"\n'
            f'[commands]\nresult_prefix = "{PREFIX}"\n'
        )
        yield Host(machines, settings)


async def test_a_machines_life_by_executables(host: Host) -> None:
    order = ("web_1", "--owner-wallet", WALLET, "--nft-token-id", "7", "--cpu", "2", "--apply")
    made = await host.type("vm-create", *order)
    assert made.code == 0, made.err
    assert made.out.startswith(PREFIX)
    (guest,) = await host.ours()
    assert made.result["status"] == "ok"
    assert (made.result["vm_name"], made.result["vmid"]) == ("web_1", guest.vmid)
    assert guest.config["cores"] == 2

    assert await host.type("vm-status", "web_1") == Said(0, "active\n", "")
    ran = await host.type("vm-guest-exec", "web_1", "echo", "inside")
    assert (ran.code, ran.out) == (0, "inside\n")
    failed = await host.type("vm-guest-exec", "web_1", "false")
    assert (failed.code, failed.err) == (1, "no\n")
    numbers = json.loads((await host.type("vm-metrics", "web_1")).out)
    assert (numbers["cpu_count"], numbers["state"]) == (2, "running")
    listed = await host.type("vm-list")
    assert listed.out.split("\t")[:2] == ["web_1", "active"]

    assert (await host.type("vm-stop", "web_1")).code == 0
    assert (await host.type("vm-status", "web_1")).out == "suspended\n"
    assert (await host.type("vm-destroy", "web_1")).code == 0
    assert (await host.type("vm-destroy", "web_1")).code == 0
    assert (await host.type("vm-status", "web_1")).out == "destroyed\n"
    assert (await host.machines.inventory()).leaked(host.machines.where.token_id) == set()


@pytest.mark.parametrize("point", ["hypervisor.clone.after", "hypervisor.start.before"])
async def test_a_killed_create_is_finished_by_the_same_command(host: Host, point: str) -> None:
    order = ("web", "--owner-wallet", WALLET, "--apply")
    died = await host.type("vm-create", *order, **{faultpoints.ENVIRONMENT: point})
    assert died.code == -signal.SIGKILL
    made = await host.type("vm-create", *order)
    assert made.code == 0, made.err
    (guest,) = await host.ours()
    assert (guest.power, made.result["vmid"]) == ("running", guest.vmid)


async def test_what_cannot_be_reached_is_a_sentence_without_a_secret(host: Host) -> None:
    where = host.machines.where
    text = host.settings.read_text()
    host.settings.write_text(text.replace(where.url, "https://127.0.0.1:1"))
    refused = await host.type("vm-list", "--timeout", "1")
    assert refused.code == 1
    assert "no connection" in refused.err
    assert "Traceback" not in refused.err
    assert where.token_file.read_text().strip() not in refused.err
    assert (await host.type("vm-status", "web")).out == "unknown\n"


async def test_one_program_has_all_the_verbs(host: Host) -> None:
    told = await host.type("provisioner", "list", "--config", str(host.settings))
    assert told == Said(0, "", "")
    manifest = json.loads((await host.type("provisioner", "manifest")).out)
    assert manifest["commands"]["create"] == "vm-create"
