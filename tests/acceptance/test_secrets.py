"""No secret leaves the daemon: not in what it logs, not in what it is called, not in what it keeps.

A machine's whole provision is lived through with everything going wrong on the way that can, at
the most talkative log level, because it is the error paths that talk too much. Then all that was
written is searched for the secrets themselves, in plain and in the usual disguises.
"""

import asyncio
import base64
import json
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from eth_account import Account

from tests.support.anvil import CHAIN_ID
from tests.support.daemon import Grounds, Installation, installation
from tests.support.relay import Relay, relay
from tests.support.witness import Witness

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

RPC_KEY = "rpc-" + secrets.token_hex(16)
HOT_KEY = secrets.token_hex(32)
PASSWORD = secrets.token_urlsafe(24)

#: What goes wrong, one after the other, on the way to a running machine.
FAULTS: list[dict[str, str | float]] = [
    {"name": "unreachable", "path": "/cluster/resources"},
    {"name": "refuse", "path": "/cluster/resources", "status": 401},
    {"name": "proxy-down", "path": "*/clone"},
    {"name": "task-fails", "path": "*/clone", "text": "unable to create image"},
    {"name": "html", "method": "PUT", "path": "*/config"},
    {"name": "refuse", "method": "PUT", "path": "*/config", "status": 400},
    {"name": "lose-reply", "path": "*/status/start"},
    {"name": "refuse", "path": "*/agent/*", "status": 403, "text": "Permission check failed"},
]  # fmt: skip


def disguises(secret: str) -> Iterator[bytes]:
    """Yield the forms in which a secret may be written down."""
    raw = secret.encode()
    yield from (raw, raw.hex().encode(), quote(secret, safe="").encode())
    if secret == HOT_KEY:
        yield from (bytes.fromhex(secret), secret.upper().encode(), str(int(secret, 16)).encode())
    yield from (base64.b64encode(raw).rstrip(b"="), base64.urlsafe_b64encode(raw).rstrip(b"="))


def holding(texts: dict[str, bytes], secret: str) -> list[str]:
    """Return the names of the texts in which a secret stands."""
    forms = [*disguises(secret)]
    return [name for name, text in texts.items() if any(form in text for form in forms)]


def files(folder: Path) -> dict[str, bytes]:
    """Read every regular file below a folder."""
    found = [path for path in folder.rglob("*") if stat.S_ISREG(path.lstat().st_mode)]
    return {str(path): path.read_bytes() for path in found}


def open_to_all(folder: Path) -> dict[str, bytes]:
    """Read those files that any user of this host may read, were they not below a closed folder."""
    return {name: text for name, text in files(folder).items() if Path(name).stat().st_mode & 0o007}


def secrets_of(it: Installation) -> dict[str, str]:
    where = it.grounds.cluster.where
    return {
        "identity key": (it.folder / "identity-key").read_text().strip(),
        "token secret": where.token_file.read_text().strip(),
        "RPC key": RPC_KEY,
        "hot key": HOT_KEY,
        "password of the hot key": PASSWORD,
    }


async def live_badly(it: Installation, way: Relay) -> None:
    """Provision a machine through every fault, with a node that fails in between."""
    place = it.grounds
    for fault in FAULTS:
        await place.arm(**fault)
    token = await it.buy()
    way.lead_to(None)
    await it.daemon.start()
    await it.until("its node is down", lambda: _said(it, "source cannot be read"))
    way.lead_to(place.chain.port)
    await it.until("everything went wrong", place.all_struck, seconds=90)
    way.hold_up()
    await it.until("its node is silent", lambda: _said(it, "did not answer within"))
    way.let_go()
    await it.provisioned(token)
    await it.run("status")
    await it.run("show", it.lease(token))
    await it.run("check", "--config", str(it.daemon.config))
    assert await it.daemon.stop() == 0
    await it.judge(machines=1)


def give_hot_key(it: Installation) -> None:
    """Give the daemon a key of its own in a keystore, and a chain to send on."""
    keystore = Account.encrypt(bytes.fromhex(HOT_KEY), PASSWORD, kdf="pbkdf2", iterations=10)
    for name, text in (("sender-keystore", json.dumps(keystore)), ("sender-password", PASSWORD)):
        (it.folder / name).touch(0o600)
        (it.folder / name).write_text(text)
    it.settings["sender"] = {
        "keystore_file": str(it.folder / "sender-keystore"),
        "password_file": str(it.folder / "sender-password"),
    }
    it.settings["[sender.chains]"] = {"chain_id": CHAIN_ID, "most_fee_gwei": 5.0}


async def test_no_secret_is_in_a_log_line_an_argument_or_an_open_file(
    place: Grounds, folder: Path
) -> None:
    async with relay(place.chain.port) as way, installation(place, folder) as it:
        give_hot_key(it)
        it.configure(
            source={
                "http": [f"http://127.0.0.1:{way.port}/?key={RPC_KEY}"],
                "ws": [f"ws://127.0.0.1:{way.port}/?key={RPC_KEY}"],
                "timeout": 1.0,
            }
        )
        witness = Witness()
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(witness.watch())
            await live_badly(it, way)
            watching.cancel()
        said = {name: text for name, text in files(folder).items() if name.endswith(".log")}
        world_readable = open_to_all(folder) | open_to_all(place.cluster.where.token_file.parent)
        state = files(it.database.parent)
        arguments = {str(line): line for line in witness.seen}
        assert any(b"nothing can be sent" in text for text in said.values()), "it was tried"
        for name, secret in secrets_of(it).items():
            assert holding(said, secret) == [], f"the {name} was logged"
            assert holding(arguments, secret) == [], f"the {name} is an argument"
            assert holding(world_readable, secret) == [], f"the {name} may be read by everybody"
            assert holding(state, secret) == [], f"the {name} is in the database"
        assert any(b"127.0.0.1" in text for text in said.values()), "the node itself is named"
        assert any(str(it.daemon.config).encode() in line for line in witness.seen)


async def test_a_secret_in_the_wrong_place_of_the_configuration_is_not_repeated(
    place: Grounds, folder: Path
) -> None:
    async with installation(place, folder) as it:
        secret = secrets_of(it)["token secret"]
        it.configure(
            proxmox={"token_file": secret, "url": f"https://user:{secret}@127.0.0.1:1"},
            source={"http": [f"ftp://127.0.0.1/{RPC_KEY}"]},
        )
        await it.daemon.start()
        assert await it.daemon.end() == 1
        said = it.daemon.said()
        assert "proxmox.token_file" in said
        assert holding({"log": said.encode()}, secret) == []
        assert holding({"log": said.encode()}, RPC_KEY) == []


async def _said(it: Installation, words: str) -> bool:
    return words in it.daemon.said()
