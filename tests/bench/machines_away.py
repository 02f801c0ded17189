"""A cluster and a chain in a process of their own, for a daemon that is measured in its own.

Both are spoken to as real ones are: the simulator over TLS, the chain model over HTTP. What they
work and what they hold is theirs, and in no figure.
"""

import asyncio
import json
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from aiohttp import web

from chainwatch.chain.rpc import RpcError
from chainwatch.runtime.clock import SystemClock
from provisioner.simulator.certificate import write_certificate
from provisioner.simulator.front import Front
from tests.bench.fleet import Fleet, Shown, prepare, stand
from tests.support.chain_model import ChainModel

#: What stands in a fleet: VMID, node, configuration.
Standing = Sequence[tuple[int, str, Shown]]


@dataclass(frozen=True, slots=True)
class Where:
    """Where the world can be reached, and as whom."""

    proxmox: str
    chain: str
    token_id: str
    token_secret: str
    ca_file: Path


@contextmanager
def away(fleet: Fleet, standing: Standing, folder: Path) -> Iterator[Where]:
    """Run the world with `standing` machines for as long as the block lasts."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(fleet, standing, folder, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.terminate()
        process.join()


def _serve(fleet: Fleet, standing: Standing, folder: Path, told: Connection) -> None:
    asyncio.run(_serving(fleet, standing, folder, told))


async def _serving(fleet: Fleet, standing: Standing, folder: Path, told: Connection) -> None:
    cluster, chain = fleet.cluster(), fleet.chain()
    config = fleet.config(folder)
    await prepare(cluster, config)
    for vmid, node, shown in standing:
        stand(cluster, config.machines.pool, vmid, node, shown)
    fleet.sell(chain)
    front = Front(cluster, 1.0)
    certificate, key = write_certificate(folder, SystemClock().now())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    cloud = web.Application()
    cloud.router.add_route("*", "/api2/json{tail:.*}", front.answer)
    chains = web.Application()
    chains.router.add_post("/", _Node(chain).answer)
    proxmox_port = await _listening(cloud, context)
    chain_port = await _listening(chains, None)
    token_id, _, secret = cluster.default_token().partition("=")
    told.send(
        Where(
            f"https://127.0.0.1:{proxmox_port}",
            f"http://127.0.0.1:{chain_port}/",
            token_id,
            secret,
            certificate,
        )
    )
    await front.drive()


async def _listening(application: web.Application, context: ssl.SSLContext | None) -> int:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return int(runner.addresses[0][1])


class _Node:
    """A node of the chain model."""

    def __init__(self, chain: ChainModel) -> None:
        self._chain = chain
        self._told: dict[str, dict[str, object]] = {}

    async def answer(self, request: web.Request) -> web.Response:
        asked = json.loads(await request.read())
        if isinstance(asked, list):
            return web.json_response([self._one(each) for each in asked])
        return web.json_response(self._one(asked))

    def _one(self, asked: dict[str, object]) -> dict[str, object]:
        """Answer one call; nothing is mined any more, so that what was said once stays true."""
        params = asked.get("params") or []
        assert isinstance(params, list)
        question = json.dumps([asked["method"], params])
        if question not in self._told:
            self._told[question] = self._found(str(asked["method"]), params)
        return {"jsonrpc": "2.0", "id": asked["id"], **self._told[question]}

    def _found(self, method: str, params: list[object]) -> dict[str, object]:
        try:
            return {"result": self._chain.answer(method, params)}
        except RpcError as error:
            return {"error": {"code": error.code, "message": str(error)}}
