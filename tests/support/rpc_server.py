"""JSON-RPC over real HTTP from handlers that a test writes, each on a port of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from chainwatch.chain.pace import Paces
from chainwatch.chain.rpc import RpcPool

SECRET = "v3/an-api-key"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(
    *handlers: Handler, patience: float = 5.0, ceiling: float | None = None
) -> AsyncIterator[RpcPool]:
    """A pool of one endpoint for each handler, each asked `ceiling` times a second at most."""
    async with AsyncExitStack() as held:
        urls = [await held.enter_async_context(serving_at(handler)) for handler in handlers]
        paces = Paces(dict.fromkeys(urls, ceiling) if ceiling else {})
        pool = RpcPool(urls, timeout=patience, confirmations=2, paces=paces)
        held.push_async_callback(pool.close)
        yield pool


@asynccontextmanager
async def serving_at(handler: Handler) -> AsyncIterator[str]:
    """The address, with a key in it, at which a handler answers."""
    app = web.Application(client_max_size=2**24)
    app.router.add_post(f"/{SECRET}", handler)
    server = TestServer(app)
    await server.start_server()
    try:
        yield str(server.make_url(f"/{SECRET}"))
    finally:
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
