"""An answer without end, or without measure, costs little: it is dropped, and nothing believed."""

import gzip
import io
import tracemalloc
from pathlib import Path

import pytest
from urllib3 import HTTPResponse

from provisioner.backends.proxmox.api import ApiError, ReplyLost
from provisioner.backends.proxmox.bodies import LONGEST_ANSWER, LONGEST_REFUSAL, Bounded, Excess
from provisioner.backends.proxmox.client import ProxmoxerApi
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from tests.support.pve import close_and_join
from tests.support.scripted import Scripted, answered

#: How bytes travel is tested here, not what they say.
pytestmark = pytest.mark.rude_requests

GIGABYTES = 2**33


def calling(server: Scripted) -> ProxmoxerApi:
    secret = "3f0b374d-093a-4d72-9b73-267ec77ae1b0"
    where = ProxmoxEndpoint("127.0.0.1", server.port, "a@pve!b", secret, server.certificate)
    return ProxmoxerApi(where)


def head(*headers: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode()


ENDLESS = b'{"data":"' + b"x" * (LONGEST_ANSWER + 2**20)


@pytest.mark.parametrize(
    "said",
    [
        head(f"Content-Length: {GIGABYTES}") + ENDLESS,
        head("Connection: close") + ENDLESS,
        head("Transfer-Encoding: chunked") + b"%x\r\n" % GIGABYTES + ENDLESS,
        head("Transfer-Encoding: chunked") + (b"10000\r\n%b\r\n" % (b" " * 2**16)) * 600,
    ],
    ids=["gigabytes", "no end", "one chunk", "chunks"],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_answer_without_end_is_cut_off_and_not_believed(
    tmp_path: Path, method: str, said: bytes
) -> None:
    with Scripted(tmp_path, said, said, then_closes=True) as server:
        api = calling(server)
        with pytest.raises(ReplyLost, match=r"more than 32 MiB.* is it Proxmox"):
            await api.call(method, "/nodes/pve/qemu/1/status/start")
        close_and_join(api)
        assert len(server.asked) == 1


async def test_a_small_answer_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(bytes(2**28), compresslevel=1)
    said = head(f"Content-Length: {len(packed)}", "Content-Encoding: gzip") + packed
    with Scripted(tmp_path, said) as server:
        api = calling(server)
        tracemalloc.start()
        with pytest.raises(ReplyLost, match="more than 32 MiB"):
            await api.call("GET", "/version")
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        close_and_join(api)
    assert most < 3 * LONGEST_ANSWER


async def test_a_long_refusal_is_cut_and_its_status_counts(tmp_path: Path) -> None:
    said = head(f"Content-Length: {GIGABYTES}", status="500 no") + b"x" * (4 * LONGEST_REFUSAL)
    with Scripted(tmp_path, said, then_closes=True) as server:
        api = calling(server)
        with pytest.raises(ApiError) as refused:
            await api.call("GET", "/version")
        close_and_join(api)
    assert (refused.value.status, refused.value.body) == (500, "x" * LONGEST_REFUSAL)


async def test_after_an_answer_without_end_the_next_call_is_answered(tmp_path: Path) -> None:
    said = head(f"Content-Length: {GIGABYTES}") + ENDLESS
    with Scripted(tmp_path, said, answered("200 OK", '{"data":"8.4"}')) as server:
        api = calling(server)
        with pytest.raises(ReplyLost):
            await api.call("GET", "/version")
        assert await api.call("GET", "/version") == "8.4"
        close_and_join(api)


@pytest.mark.parametrize(
    "body",
    ["[" * 500_000, '{"data":' + '{"a":' * 200_000, '{"data":' + "9" * 100_000 + "}"],
    ids=["lists", "objects", "digits"],
)
async def test_what_no_parser_can_hold_is_not_believed(tmp_path: Path, body: str) -> None:
    with Scripted(tmp_path, answered("200 OK", body)) as server:
        api = calling(server)
        with pytest.raises(ReplyLost, match="not Proxmox's"):
            await api.call("GET", "/version")
        close_and_join(api)


def test_an_answer_that_only_trickles_in_ends_by_the_clock() -> None:
    now = 0.0

    class Trickle(io.BytesIO):
        def read1(self, _: int | None = -1, /) -> bytes:
            nonlocal now
            now += 10.0
            return b" "

    trickle = HTTPResponse(Trickle(), status=200, preload_content=False)
    bounded = Bounded(trickle, LONGEST_ANSWER, 35.0, lambda: now)
    with pytest.raises(Excess, match="more than 35 s"):
        list(bounded.stream())
    assert now == 40.0
