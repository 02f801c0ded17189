"""What is at the other end of a console's socket: a greeting, and an echo.

No screen is simulated. A client sees that it is connected to the right port, that what it sends
arrives whole, and that the connection ends when either side goes.
"""

from typing import Final

from aiohttp import WSMsgType, web

from provisioner.simulator.wire import ApiResponse

GREETING: Final = b"RFB 003.008\n"


def is_console(request: web.Request, response: ApiResponse) -> bool:
    """Say whether a granted call is to go on as a socket."""
    wanted = request.headers.get("Upgrade", "").lower() == "websocket"
    return wanted and response.status == 200 and request.path.endswith("/vncwebsocket")


async def console(request: web.Request) -> web.WebSocketResponse:
    """Serve one connection until the client is gone."""
    socket = web.WebSocketResponse(protocols=("binary",))
    await socket.prepare(request)
    await socket.send_bytes(GREETING)
    async for message in socket:
        if message.type is WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket
