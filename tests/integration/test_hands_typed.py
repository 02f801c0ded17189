"""What is typed at a shell: exit codes, what a guest may not do to a terminal, who may."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.admin import routes
from chainwatch.admin.peers import Peer
from chainwatch.config import Config
from provisioner.simulator import programs
from provisioner.simulator.faults import Fault, FaultName
from provisioner.simulator.guestos import GuestOs, Run
from tests.support.office import PROGRAM, Counter, counter, ran
from tests.support.realm import FIRST, GRACE

#: What a guest may say to whoever reads it at a terminal.
HOSTILE = "a\x1b]0;you\x07\x9b2J\r\u202eb\tc\nd\n"
WHY = ("--reason", "a look")


def hostile(_: GuestOs, __: tuple[str, ...], ___: str) -> Run:
    return Run(3, output=HOSTILE, error=HOSTILE)


@asynccontextmanager
async def sold(folder: Path, *, console: bool = True) -> AsyncIterator[Counter]:
    def adjust(config: Config) -> Config:
        return replace(config, admin=replace(config.admin, console=console))

    async with counter(folder, adjust=adjust) as at:
        at.realm.buy(lasts=100 * GRACE)
        await at.realm.settle()
        yield at


async def test_a_command_ends_as_it_ends_in_the_guest_and_its_options_are_its_own(
    tmp_path: Path,
) -> None:
    async with sold(tmp_path) as at:
        said = await at.type("exec", *WHY, "1", "echo", "--limit", "--json", "x y")
        assert (said.code, said.out, said.err) == (0, "--limit --json x y\n", "")
        failed = await at.type("exec", *WHY, "1", "false")
        assert (failed.code, failed.out, failed.err) == (1, "", "no\n")
        told = json.loads((await at.type("exec", *WHY, "--json", "1", "echo", "x")).out)
        assert told == {"code": 0, "seen": True, "output": "x\n", "error": ""}


async def test_a_command_whose_end_is_not_seen_has_a_code_of_its_own_and_one_not_begun_too(
    tmp_path: Path,
) -> None:
    async with sold(tmp_path) as at:
        slow = await at.type("exec", *WHY, "--limit", "1", "1", "sleep", "1000")
        assert (slow.code, slow.out) == (124, "")
        assert "may still run" in slow.err
        at.realm.guest().has_agent = False
        silent = await at.type("exec", *WHY, "1", "true")
        assert silent.code == 125
        assert silent.err.startswith("chainwatch: ")
        unknown = await at.type("exec", *WHY, "7", "true")
        assert (unknown.code, "no lease 7" in unknown.err) == (125, True)
        nobody = await at.type("exec", *WHY, "--socket", str(tmp_path / "none"), "1", "true")
        assert (nobody.code, "no daemon answers" in nobody.err) == (125, True)


async def test_what_a_guest_says_reaches_no_terminal_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(programs.PROGRAMS, "hostile", hostile)
    async with sold(tmp_path) as at:
        said = await at.type("exec", *WHY, "1", "hostile")
        shown = "a\\x1b]0;you\\x07\\x9b2J\\r\\u202eb\tc\nd\n"
        assert (said.code, said.out, said.err) == (3, shown, shown)
        told = await at.type("exec", *WHY, "--json", "1", "hostile")
        assert told.out.isascii()
        assert "\x1b" not in told.out
        assert json.loads(told.out)["output"] == HOSTILE


async def test_a_machine_is_measured_and_slowed_down(tmp_path: Path) -> None:
    async with sold(tmp_path) as at:
        shown = (await at.type("metrics", "1")).out
        assert "cpu count" in shown
        assert json.loads((await at.type("metrics", "1", "--json")).out)["state"] == "running"
        slowed = await at.type("throttle", "1", *WHY, "--cpu-quota", "25")
        assert (slowed.code, slowed.out) == (0, "cpu quota: 25 % of 2 cores, 0.5 cores\n")
        assert slowed.err == "its plan decides the cpu quota: drift repair puts that back\n"
        refused = await at.type("throttle", "1", *WHY)
        assert (refused.code, "write what to limit" in refused.err) == (1, True)
        body, code = (await at.curl("/leases/1/throttle", "-d", '{"cpu_quota": "-1"}')).out.rsplit(
            "\n", 1
        )
        assert (code, json.loads(body)) == ("400", {"error": "cpu_quota is no number"})


async def test_a_ticket_is_printed_to_the_operator_and_stands_nowhere_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with sold(tmp_path) as at:
        said = await at.type("console", "1", *WHY, "--json")
        told = json.loads(said.out)
        assert (told["vmid"], said.code) == (FIRST, 0)
        assert "never for a tenant" in said.err
        logged = capsys.readouterr()
        audit = (await at.type("audit", "--json")).out
        story = (await at.type("show", "1", "--json")).out
        assert told["ticket"] not in logged.out + logged.err + audit + story
        assert '"console"' in audit


async def test_a_screen_that_nobody_opened_stays_closed(tmp_path: Path) -> None:
    async with sold(tmp_path, console=False) as at:
        said = await at.type("console", "1", *WHY)
        assert (said.code, said.out) == (1, "")
        assert "set console = true in [admin]" in said.err


async def test_who_may_read_measures_and_does_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with sold(tmp_path) as at:
        peer = Peer(4242, frozenset({os.getegid()}))
        monkeypatch.setattr(routes, "peer_of", lambda _connection: peer)
        assert (await at.type("metrics", "1")).code == 0
        for verb, code in (("exec", 125), ("throttle", 1), ("console", 1)):
            more = ("--cpu-shares", "5") if verb == "throttle" else ()
            words = ("true",) if verb == "exec" else ()
            said = await at.type(verb, *WHY, *more, "1", *words)
            assert (said.code, "only root and admins" in said.err) == (code, True)
        assert await at.desk.audit(9) == []


async def test_an_answer_that_is_lost_on_the_way_is_no_word_on_the_command(tmp_path: Path) -> None:
    async with sold(tmp_path) as at:
        at.realm.cluster.arm(Fault(FaultName.LOSE_REPLY, "POST", "/nodes/*/qemu/*/agent/exec"))
        said = await at.type("exec", *WHY, "1", "true")
        assert (said.code, said.out) == (124, "")


async def test_a_daemon_that_dies_meanwhile_leaves_it_open_what_became_of_the_command(
    tmp_path: Path,
) -> None:
    async def die(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    path = tmp_path / "dying.sock"
    async with await asyncio.start_unix_server(die, str(path)):
        said = await ran(*PROGRAM, "exec", *WHY, "1", "true", CHAINWATCH_SOCKET=str(path))
    assert said.code == 124
    assert "true may have run" in said.err
    assert "look what it did before you order the same again" in said.err


@pytest.mark.parametrize(
    ("status", "kind", "body", "code"),
    [
        (500, "text/plain", "500 Internal Server Error", 124),
        (502, "text/html", "<h1>Bad Gateway</h1>", 124),
        (500, "application/json", '{"trouble": "with itself"}', 124),
        (200, "text/html", "<h1>It works!</h1>", 124),
        (200, "application/json", '{"ended": "well"}', 124),
        (200, "application/json", '{"code": 0, "seen": true}', 124),
        (200, "application/json", "[]", 124),
        (400, "text/plain", "400 Bad Request", 125),
        (503, "application/json", '{"error": "no agent answers"}', 125),
    ],
)
async def test_not_begun_is_said_only_of_what_the_daemon_gives_a_reason_for_not_doing(
    tmp_path: Path, status: int, kind: str, body: str, code: int
) -> None:
    """A daemon that fails after it has run a command says no more than that it failed."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        await reader.readexactly(int(asked.partition("content-length: ")[2].split()[0]))
        head = f"HTTP/1.1 {status} .\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        writer.write(f"{head}\r\nConnection: close\r\n\r\n{body}".encode())
        await writer.drain()
        writer.close()

    path = tmp_path / "odd.sock"
    async with await asyncio.start_unix_server(answer, str(path)):
        said = await ran(*PROGRAM, "exec", *WHY, "1", "true", CHAINWATCH_SOCKET=str(path))
    assert (said.code, said.out) == (code, "")
    assert ("true may have run" in said.err) == (code == 124)
    assert "broke off" not in said.err
