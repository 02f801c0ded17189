"""JSON-RPC over real HTTP from handlers that a test writes, each on a port of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from chainwatch.chain.rpc import RpcPool

SECRET = "v3/an-api-key"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    *handlers: Handler, patience: float = 5.0, ceiling: float | None = None
) -> AsyncIterator[RpcPool]:
    """A pool of one endpoint for each handler, each asked `ceiling` times a second at most."""
    servers: list[TestServer] = []
    for handler in handlers:
        app = web.Application(client_max_size=2**24)
        app.router.add_post(f"/{SECRET}", handler)
        servers.append(TestServer(app))
        await servers[-1].start_server()
    urls = [str(server.make_url(f"/{SECRET}")) for server in servers]
    pool = RpcPool(urls, timeout=patience, confirmations=2, requests_per_second=ceiling)
    try:
        yield pool
    finally:
        await pool.close()
        for server in servers:
            await server.close()


def echo(request: dict[str, object]) -> dict[str, object]:
    """The answer that repeats a request's parameters."""
    return {"jsonrpc": "2.0", "id": request["id"], "result": request["params"]}


async def echoing(request: web.Request) -> web.Response:
    """Answer every call with its parameters, a batch in the reverse order."""
    body = await request.json()
    answer = [echo(one) for one in reversed(body)] if isinstance(body, list) else echo(body)
    return web.json_response(answer)


def answering(
    body: str | bytes, status: int = 200, headers: dict[str, str] | None = None
) -> Handler:
    """Answer everything with the same bytes."""
    payload = body.encode() if isinstance(body, str) else body

    async def handle(_: web.Request) -> web.Response:
        return web.Response(body=payload, status=status, headers=headers)

    return handle
