"""`chainwatch check` without a daemon asks real nodes, a real API and the file; mends nothing."""

import json
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from tests.support.daemon import Installation, grounds, installation

CLUSTER: Final = {"hypervisor": True, "token": True, "firewall": True}
RIGHT: Final = {**CLUSTER, "source anvil": True, "template 9000": True, "database": True}
WRONG: Final = {"hypervisor": False, "template 99999": False}


@pytest.fixture
async def ours(tmp_path: Path) -> AsyncIterator[Installation]:
    async with grounds(tmp_path) as place, installation(place, tmp_path) as made:
        yield made


async def checked(ours: Installation, *more: str) -> tuple[int, dict[str, bool]]:
    """Exit code, and what was found right or wrong by what was looked at."""
    code, said = await ours.run("check", "--config", str(ours.daemon.config), "--json", *more)
    lines = said.splitlines()
    found = json.loads("\n".join(lines[lines.index("[") :]))
    return code, {each["subject"]: each["ok"] for each in found}


async def test_a_new_installation_is_checked_before_its_first_start(ours: Installation) -> None:
    assert await checked(ours) == (0, RIGHT)
    assert not ours.database.exists()


async def test_a_check_finds_what_the_daemon_would_stumble_over(ours: Installation) -> None:
    ours.configure(source={"contract": "0x" + "11" * 20}, machines={"template_vms": [99_999]})
    assert await checked(ours) == (
        *(1, {**CLUSTER, **WRONG, "source anvil": False, "database": True}),
    )


async def test_a_check_proves_the_rows_of_a_daemon_that_was_stopped(ours: Installation) -> None:
    await ours.daemon.start()
    await ours.provisioned(await ours.buy())
    assert await ours.daemon.stop() == 0
    assert await checked(ours, "--deep") == (0, {**RIGHT, "audit anvil": True})
    with sqlite3.connect(ours.database) as db:
        db.execute("UPDATE lease SET owner = 'somebody'")
    db.close()
    assert await checked(ours) == (1, {**RIGHT, "database": False})


async def test_a_check_warns_of_what_a_template_gives_its_clones(ours: Installation) -> None:
    code, said = await ours.run("check", "--config", str(ours.daemon.config))
    (password,) = [line for line in said.splitlines() if "password" in line]
    assert password.split()[:3] == ["warning", "template", "9000"]
    assert password.endswith("qm set 9000 --delete cipassword")
    assert code == 0


async def test_a_check_of_a_wrong_configuration_says_the_key(ours: Installation) -> None:
    ours.configure(proxmox={"token_id": "nobody"})
    code, said = await ours.run("check", "--config", str(ours.daemon.config))
    assert code == 1
    assert "proxmox.token_id" in said
    assert "Traceback" not in said


async def test_a_daemon_that_cannot_run_says_why_in_one_sentence(ours: Installation) -> None:
    ours.configure(source={"chain_id": 1})
    code, said = await ours.run("run", "--config", str(ours.daemon.config))
    assert code == 1
    assert said.splitlines()[-1].startswith("chainwatch: ")
    assert "chain" in said.splitlines()[-1]
    assert "Traceback" not in said
    assert not ours.socket.exists()
