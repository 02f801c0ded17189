"""What every way to a node promises: a simulated one, in process and over SSH, and a genuine."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from provisioner.errors import AgentSilent, Permanent, Transient, UnknownOutcome
from tests.support.nodes import NODE, NodeWorld, Simulated, direct_node, fronted, genuine
from tests.support.openssh import SSHD

SNIPPET = "chainwatch-20000-0123456789abcdef.yaml"
ADDRESS = "2001:db8::15"
NEEDS_SSHD = pytest.mark.skipif(SSHD is None, reason="sshd is missing (openssh-server)")


@pytest.fixture(params=["direct", "ssh", pytest.param("openssh", marks=NEEDS_SSHD)])
async def node(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NodeWorld]:
    if request.param == "direct":
        yield direct_node(Simulated())
    elif request.param == "ssh":
        async with fronted(Simulated()) as it:
            yield it.world
    else:
        async with genuine(tmp_path) as (_, world):
            yield world


async def test_the_helper_says_which_one_it_is(node: NodeWorld) -> None:
    assert await node.shell.version(NODE) == "chainwatch-node 1"


@pytest.mark.parametrize("content", [b"", b"#cloud-config\n", b"\0\xff\r\n" * 65536])
async def test_a_snippet_arrives_as_it_was_sent_and_goes_when_it_is_dropped(
    node: NodeWorld, content: bytes
) -> None:
    await node.shell.put_snippet(NODE, SNIPPET, b"what stood there before")
    await node.shell.put_snippet(NODE, SNIPPET, content)
    assert node.snippets() == {SNIPPET: content}
    assert await node.shell.snippets(NODE) == [SNIPPET]
    await node.shell.drop_snippet(NODE, SNIPPET)
    await node.shell.drop_snippet(NODE, SNIPPET)
    assert node.snippets() == {}
    assert await node.shell.snippets(NODE) == []


async def test_a_snippet_that_is_too_large_is_not_sent(node: NodeWorld) -> None:
    with pytest.raises(Permanent, match="262144 at most"):
        await node.shell.put_snippet(NODE, SNIPPET, b"x" * 262_145)


@pytest.mark.parametrize(
    "name", ["../x", "x.yaml", "chainwatch-20000-0123.yaml", SNIPPET + "\n", "", SNIPPET + ";ls"]
)
async def test_what_is_no_name_of_ours_never_leaves(node: NodeWorld, name: str) -> None:
    with pytest.raises(Permanent, match="no name of a snippet"):
        await node.shell.put_snippet(NODE, name, b"x")
    with pytest.raises(Permanent, match="no name of a snippet"):
        await node.shell.drop_snippet(NODE, name)


async def test_a_machine_of_somebody_else_is_refused_by_the_node(node: NodeWorld) -> None:
    theirs = SNIPPET.replace("20000", "19999")
    for refused in (
        node.shell.put_snippet(NODE, theirs, b"x"),
        node.shell.drop_snippet(NODE, theirs),
        node.shell.isolate(NODE, 20200),
        node.shell.pct_exec(NODE, 101, ["true"]),
    ):
        with pytest.raises(Permanent, match="not a VMID of 20000 to 20199"):
            await refused


async def test_a_route_is_put_once_and_again_and_seen(node: NodeWorld) -> None:
    assert await node.shell.routes(NODE) == {}
    await node.shell.route(NODE, ADDRESS, "vmbr0")
    await node.shell.route(NODE, ADDRESS, "vmbr0")
    await node.shell.route(NODE, "2001:db8:0:0:ffff:0:0:1", "vmbr1")
    assert await node.shell.routes(NODE) == {ADDRESS: "vmbr0", "2001:db8::ffff:0:0:1": "vmbr1"}


@pytest.mark.parametrize(
    ("address", "bridge"),
    [
        ("2001:db8:0:1::1", "vmbr0"),
        ("fe80::1", "vmbr0"),
        ("2001:db9::1", "vmbr0"),
        ("2001:db8::1", "vmbr2"),
        ("::1", "lo"),
    ],
)
async def test_a_route_elsewhere_is_refused_by_the_node(
    node: NodeWorld, address: str, bridge: str
) -> None:
    with pytest.raises(Permanent, match="node pve refuses"):
        await node.shell.route(NODE, address, bridge)
    assert await node.shell.routes(NODE) == {}


async def test_a_running_guest_is_isolated_and_one_that_is_off_cannot_be(node: NodeWorld) -> None:
    with pytest.raises(AgentSilent, match="does not run here"):
        await node.shell.isolate(NODE, 20001)
    node.start_container(20001)
    node.start_container(20002)
    assert await node.shell.isolated(NODE) == {20001: False, 20002: False}
    await node.shell.isolate(NODE, 20001)
    assert await node.shell.isolated(NODE) == {20001: True, 20002: False}


async def test_a_command_gets_its_arguments_and_its_input_and_gives_its_exit_code(
    node: NodeWorld,
) -> None:
    node.start_container(20001)
    echo = await node.shell.pct_exec(NODE, 20001, ["echo", "a  b", "$(id)", ";", "'\"\\*", "é\n"])
    assert echo.output == "a  b $(id) ; '\"\\* é\n\n".encode()
    cat = await node.shell.pct_exec(NODE, 20001, ["cat"], b"what comes in\n")
    assert (cat.code, cat.output, cat.error) == (0, b"what comes in\n", b"")
    unknown = await node.shell.pct_exec(NODE, 20001, ["id", "-u", "nobody-of-that-name"])
    assert unknown.code == 1
    assert b"no such user" in unknown.error


async def test_a_container_that_does_not_run_is_silent(node: NodeWorld) -> None:
    with pytest.raises(AgentSilent, match="no container 20001 runs"):
        await node.shell.pct_exec(NODE, 20001, ["true"])
    assert not await node.guest.answers(NODE, 20001)
    node.start_container(20001)
    assert await node.guest.answers(NODE, 20001)


async def test_a_command_that_does_not_end_is_no_success(node: NodeWorld) -> None:
    node.start_container(20001)
    with pytest.raises(UnknownOutcome, match="did not end within 1 s"):
        await node.shell.pct_exec(NODE, 20001, ["sleep", "55"], limit=1)


@pytest.mark.parametrize("words", [[], ["a\0b"]])
async def test_what_no_argument_can_be_never_leaves(node: NodeWorld, words: list[str]) -> None:
    with pytest.raises(Permanent, match="without NUL"):
        await node.shell.pct_exec(NODE, 20001, words)


async def test_what_does_not_fit_a_command_line_never_leaves(node: NodeWorld) -> None:
    with pytest.raises(Permanent, match="98304 at most"):
        await node.shell.pct_exec(NODE, 20001, ["echo", "x" * 100_000])


async def test_a_failed_command_of_ours_is_tried_again_and_says_why(node: NodeWorld) -> None:
    node.start_container(20001)
    with pytest.raises(Transient, match="exit code 2"):
        await node.guest.end_sessions(NODE, 20001, "nobody-of-that-name")


@pytest.mark.parametrize("user", ["../root", "Debian", "a b", "", "-u", "root;reboot", "x" * 33])
async def test_what_is_no_user_name_reaches_no_command(node: NodeWorld, user: str) -> None:
    with pytest.raises(Permanent, match=re.escape(repr(user))):
        await node.guest.set_authorized_keys(NODE, 20001, user, "ssh-ed25519 AAAA")
    with pytest.raises(Permanent, match="user name"):
        await node.guest.end_sessions(NODE, 20001, user)


async def test_a_node_that_nobody_named_is_refused(node: NodeWorld) -> None:
    with pytest.raises(Permanent, match="has no line in nodes_ssh"):
        await node.shell.version("pve9")


async def test_a_containers_host_keys_are_read_from_its_node(node: NodeWorld) -> None:
    node.start_container(20001)
    for key in await node.guest.host_keys(NODE, 20001):
        assert re.fullmatch(r"(ssh-ed25519|ecdsa-sha2-nistp\d+) [A-Za-z0-9+/=]+", key)
