"""The daemon's key on a genuine OpenSSH server opens the helper's few verbs and nothing else."""

import asyncio
import base64
import hashlib
import os
import signal
import stat
import subprocess
from collections.abc import AsyncIterator, Mapping
from ipaddress import IPv6Address, IPv6Network
from pathlib import Path
from typing import Final

import asyncssh
import pytest

from provisioner.errors import Permanent, Transient
from provisioner.guest.connection import Connections
from provisioner.guest.doors import authorized_line, helper_config
from provisioner.guest.node import HelperShell
from tests.support.openssh import HELPER, NODE, SSHD, OpenSsh, openssh

pytestmark = pytest.mark.skipif(SSHD is None, reason="sshd is missing (openssh-server)")

SNIPPET: Final = "chainwatch-20000-0123456789abcdef.yaml"
CONTENT: Final = b"#cloud-config\n" * 1000
SUM: Final = f"{len(CONTENT)} {hashlib.sha256(CONTENT).hexdigest()}"
NOTHING: Final = f"0 {hashlib.sha256(b'').hexdigest()}"
REFUSED, DIFFERS, IMPOSSIBLE, MISCONFIGURED = 64, 65, 73, 78

INJECTIONS: Final = [
    "id",
    "bash",
    "version; id",
    "version && id",
    "version | tee /tmp/x",
    "version $(touch injected)",
    "version `touch injected`",
    "version\ntouch injected",
    "version\ttouch",
    " version",
    "version ",
    "version  version",
    "version version",
    "VERSION",
    "version\r",
    "",
    "-c id",
    "internal-sftp",
    "/usr/lib/openssh/sftp-server",
    "scp -t /etc",
    f"put-snippet ../{SNIPPET} {SUM}",
    f"put-snippet ./{SNIPPET} {SUM}",
    f"put-snippet /etc/{SNIPPET} {SUM}",
    f"put-snippet .. {SUM}",
    f"put-snippet {SNIPPET}/.. {SUM}",
    f"put-snippet chainwatch-20000-{'0' * 300}.yaml {SUM}",
    f"put-snippet chainwatch-020000-0123456789abcdef.yaml {SUM}",
    f"put-snippet chainwatch-2e4-0123456789abcdef.yaml {SUM}",
    f"put-snippet chainwatch-20000-0123456789ABCDEF.yaml {SUM}",
    f"put-snippet chainwatch-19999-0123456789abcdef.yaml {SUM}",
    f"put-snippet {SNIPPET} 9999999 {'0' * 64}",
    f"put-snippet {SNIPPET} 014000 {'0' * 64}",
    f"put-snippet {SNIPPET} -1 {'0' * 64}",
    f"put-snippet {SNIPPET} {len(CONTENT)} {'0' * 63}",
    f"put-snippet {SNIPPET}",
    "drop-snippet /etc/passwd",
    "drop-snippet *",
    "drop-snippet -rf",
    f"pct-exec 100 5 {NOTHING} aWQ=",
    f"pct-exec 020000 5 {NOTHING} aWQ=",
    f"pct-exec 0x4e20 5 {NOTHING} aWQ=",
    f"pct-exec -1 5 {NOTHING} aWQ=",
    f"pct-exec 99999999999999999999 5 {NOTHING} aWQ=",
    f"pct-exec 20000+1 5 {NOTHING} aWQ=",
    f"pct-exec vmid_first 5 {NOTHING} aWQ=",
    f"pct-exec 20000 0 {NOTHING} aWQ=",
    f"pct-exec 20000 601 {NOTHING} aWQ=",
    f"pct-exec 20000 5 {NOTHING} not-base64",
    f"pct-exec 20000 5 {NOTHING} aWR=",
    f"pct-exec 20000 5 {NOTHING} aWQ",
    f"pct-exec 20000 5 {NOTHING} {base64.b64encode(b'a' + bytes(1) + b'b').decode()}",
    f"pct-exec 20000 5 {NOTHING}",
    "route add 2001:db8::1 eth0",
    "route add default vmbr0",
    "route add 2001:db8::1/64 vmbr0",
    "route del 2001:db8::1 vmbr0",
    "route flush",
    "route",
    "isolate 100",
    "isolate all",
    "isolate",
]


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[OpenSsh]:
    async with openssh(tmp_path) as it:
        yield it


async def test_whatever_is_no_verb_of_the_helper_is_refused_and_nothing_is_run(
    node: OpenSsh,
) -> None:
    async with node.connect() as connection:
        for command in INJECTIONS:
            done = await connection.run(command or None, input=CONTENT, encoding=None)
            assert done.exit_status == REFUSED, (command, done)
            assert done.stdout == b"", command
            told = done.stderr
            assert isinstance(told, bytes)
            assert told.startswith(b"chainwatch-node: "), (command, told)
            assert told.count(b"\n") == 1, (command, told)
    assert node.ran() == []
    assert not node.snippets.exists() or list(node.snippets.iterdir()) == []


async def test_no_terminal_no_forwarding_and_no_file_transfer_is_given(node: OpenSsh) -> None:
    async with node.connect() as connection:
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.run("version", term_type="xterm")
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_connection("127.0.0.1", node.port)
        with pytest.raises(asyncssh.ChannelOpenError):
            await connection.open_unix_connection("/run/x")
        with pytest.raises(asyncssh.ChannelListenError):
            await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", node.port)
        with pytest.raises((asyncssh.Error, EOFError)):
            await connection.start_sftp_client()
        done = await connection.run("version", encoding=None)
    assert (done.exit_status, done.stdout) == (0, b"chainwatch-node 1\n")


async def test_another_key_opens_nothing_and_says_what_to_do(node: OpenSsh) -> None:
    ways = Connections(node.login(asyncssh.generate_private_key("ssh-ed25519")))
    with pytest.raises(Transient, match="refuses our key"):
        await HelperShell(ways).version(NODE)


async def test_another_host_key_is_told_nothing_and_named_by_its_fingerprint(
    node: OpenSsh,
) -> None:
    ways = Connections(node.login())
    stranger = asyncssh.generate_private_key("ssh-ed25519")
    (node.folder / "host_key").write_bytes(stranger.export_private_key())
    with pytest.raises(Permanent) as raised:
        await HelperShell(ways).put_snippet(NODE, SNIPPET, CONTENT)
    assert stranger.get_fingerprint() in str(raised.value)
    assert "Compare" in str(raised.value)
    assert not node.snippets.exists()


async def test_a_snippet_is_for_the_node_to_read_and_for_nobody_else(node: OpenSsh) -> None:
    assert (await node.say(f"put-snippet {SNIPPET} {SUM}", CONTENT)).code == 0
    assert [path.name for path in node.snippets.iterdir()] == [SNIPPET]
    assert stat.S_IMODE((node.snippets / SNIPPET).stat().st_mode) == 0o640


@pytest.mark.parametrize("arrives", [CONTENT[:-1], b"", CONTENT + b"x", CONTENT[:-1] + b"?"])
async def test_what_did_not_arrive_as_it_was_sent_replaces_nothing(
    node: OpenSsh, arrives: bytes
) -> None:
    old = b"what stood there before"
    digest = f"{len(old)} {hashlib.sha256(old).hexdigest()}"
    assert (await node.say(f"put-snippet {SNIPPET} {digest}", old)).code == 0
    assert (await node.say(f"put-snippet {SNIPPET} {SUM}", arrives)).code == DIFFERS
    assert {path.name: path.read_bytes() for path in node.snippets.iterdir()} == {SNIPPET: old}


def helper(
    node: OpenSsh,
    command: bytes,
    *,
    limit: str = "",
    content: bytes = b"",
    variables: Mapping[str, str] = {},
) -> subprocess.CompletedProcess[bytes]:
    """Run the helper as sshd would, without sshd."""
    environ = {**os.environb, b"SSH_ORIGINAL_COMMAND": command}
    environ |= {name.encode(): value.encode() for name, value in variables.items()}
    run = [str(HELPER), f"{node.folder}/node.conf"]
    if limit:
        run = ["/bin/bash", "-c", f"{limit}; exec {HELPER} {node.folder}/node.conf"]
    return subprocess.run(
        run, env=environ, input=content, capture_output=True, check=False, timeout=30
    )


@pytest.mark.parametrize(
    "command", [b"version\xff", b"\xc3\xa9", b"version \xe2\x80\xa8id", b"x" * 98_305]
)
async def test_bytes_that_are_no_ascii_and_endless_ones_are_refused(
    node: OpenSsh, command: bytes
) -> None:
    done = await asyncio.to_thread(helper, node, command)
    assert (done.returncode, done.stdout) == (REFUSED, b"")


async def test_the_environment_changes_nothing(node: OpenSsh) -> None:
    trap = node.folder / "trap"
    trap.write_text(f"touch {node.folder}/sprung\n")
    variables = {
        "BASH_ENV": str(trap),
        "ENV": str(trap),
        "PATH": str(node.folder),
        "BASH_FUNC_stat%%": f"() {{ touch {node.folder}/sprung; }}",
        "SHELLOPTS": "xtrace",
        "IFS": "e",
    }
    done = await asyncio.to_thread(helper, node, b"version", variables=variables)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"chainwatch-node 1\n", b"")
    assert not (node.folder / "sprung").exists()


async def test_a_full_disk_leaves_what_was_there_and_no_piece_of_the_new(node: OpenSsh) -> None:
    command = f"put-snippet {SNIPPET} {SUM}".encode()
    done = await asyncio.to_thread(helper, node, command, limit="ulimit -f 4", content=CONTENT)
    assert done.returncode == IMPOSSIBLE
    assert b"make room" in done.stderr
    assert list(node.snippets.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGKILL])
async def test_a_helper_that_is_cut_off_while_it_writes_leaves_no_truncated_snippet(
    node: OpenSsh, number: signal.Signals
) -> None:
    environ = {**os.environ, "SSH_ORIGINAL_COMMAND": f"put-snippet {SNIPPET} {SUM}"}
    process = await asyncio.create_subprocess_exec(
        HELPER,
        node.folder / "node.conf",
        env=environ,
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    process.stdin.write(CONTENT[:5000])
    await process.stdin.drain()
    process.send_signal(number)
    process.stdin.close()
    assert await process.wait() != 0
    left = [path.name for path in node.snippets.iterdir()] if node.snippets.exists() else []
    assert SNIPPET not in left
    assert number == signal.SIGKILL or left == []


ADDRESSES: Final = [
    *("2001:db8::", "2001:db8::1", "2001:db8:0:0:1:2:3:4", "2001:db8:0:0::ffff", "2001:db8:0::1"),
    *("2001:0db8::1", "2001:db8::0001", "2001:db8:0:1::1", "2001:db9::1", "2001:db8:1::", "::"),
    *("::1", "1::", ":::", "2001:db8:::1", "2001::db8::1", "2001:db8::12345", "2001:db8::g"),
    *("2001:db8", "2001:db8:0:0:1:2:3", "2001:db8:0:0:1:2:3:4:5", "2001:db8::192.0.2.1", ":"),
    *("2001:db8::1:", ":2001:db8::1", "2001:db8:1:2:3:4:5:6::", "::2001:db8", "2001:db8::1%eth0"),
    *("2001:db8:0:0:1:2:3::", "2001:db8:0:0:0:0:0:0", "2001:db8:0:0:1:2::3:4", "2001.db8::1"),
]


@pytest.mark.parametrize("prefix", ["2001:db8::/64", "2001:db8::/67", "2001:db8::1/128", "::/0"])
async def test_an_address_is_taken_if_it_is_one_and_lies_in_the_prefix(
    node: OpenSsh, prefix: str
) -> None:
    node.configure(ipv6_prefix=prefix)
    network = IPv6Network(prefix, strict=False)

    def lies_in(text: str) -> bool:
        try:
            return IPv6Address(text) in network and "%" not in text and "." not in text
        except ValueError:
            return False

    def all_of_them() -> dict[str, bool]:
        return {
            text: helper(node, f"route add {text} vmbr0".encode()).returncode == 0
            for text in ADDRESSES
        }

    assert await asyncio.to_thread(all_of_them) == {text: lies_in(text) for text in ADDRESSES}


async def test_several_prefixes_are_each_taken_and_nothing_between_them(node: OpenSsh) -> None:
    node.configure(ipv6_prefix="2001:db8::/64 2001:db8:7::/64")
    for address, code in (
        ("2001:db8::1", 0),
        ("2001:db8:7::1", 0),
        ("2001:db8:1::1", REFUSED),
        ("2001:db8:7:1::1", REFUSED),
    ):
        done = await asyncio.to_thread(helper, node, f"route add {address} vmbr1".encode())
        assert done.returncode == code, done.stderr
    listed = (await node.say("route list")).output.decode().splitlines()
    assert sorted(listed) == ["2001:db8:7::1 vmbr1", "2001:db8::1 vmbr1"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ipv6_prefix": "2001:db8::/64 $(id)"}, MISCONFIGURED),
        ({"ipv6_prefix": "2001:db8::/64  2001:db8:7::/64"}, MISCONFIGURED),
        ({"vmid_first": "$(id)"}, MISCONFIGURED),
        ({"vmid_first": "020000"}, MISCONFIGURED),
        ({"vmid_last": None}, MISCONFIGURED),
        ({"snippets": "/tmp/a b"}, MISCONFIGURED),
        ({"snippets": "relative"}, MISCONFIGURED),
        ({"bridges": "vmbr0;id"}, MISCONFIGURED),
        ({"path": "bin"}, MISCONFIGURED),
        ({"verbose": "yes"}, MISCONFIGURED),
        ({"snippets": None, "ipv6_prefix": None, "bridges": None}, 0),
    ],
)
async def test_a_configuration_is_read_and_never_run(
    node: OpenSsh, changes: dict[str, str | None], code: int
) -> None:
    node.configure(**changes)
    assert (await asyncio.to_thread(helper, node, b"version")).returncode == code


@pytest.mark.parametrize(("mode", "code"), [(0o664, 78), (0o646, 78), (0o644, 0), (0o600, 0)])
async def test_a_configuration_that_others_may_write_is_not_believed(
    node: OpenSsh, mode: int, code: int
) -> None:
    (node.folder / "node.conf").chmod(mode)
    done = await asyncio.to_thread(helper, node, b"version")
    assert done.returncode == code, done.stderr


async def test_without_a_folder_or_a_prefix_there_are_no_snippets_and_no_routes(
    node: OpenSsh,
) -> None:
    node.configure(snippets=None, ipv6_prefix=None)
    for command in (f"put-snippet {SNIPPET} {SUM}", "route add 2001:db8::1 vmbr0"):
        assert (await node.say(command, CONTENT)).code == REFUSED
    assert (await node.say("snippets")).output == b""
    assert (await node.say("route list")).output == b""


async def test_the_programs_are_called_with_one_argument_for_each_word(node: OpenSsh) -> None:
    node.start_container(20001)
    words = ["printf", "%s", "$(id) `id` ; & | > < * ? ~ \\ ' \"", "", "-n", "\n", "é\udcff"]
    ways = Connections(node.login())
    try:
        await HelperShell(ways).pct_exec(NODE, 20001, words)
        await HelperShell(ways).route(NODE, "2001:db8::15", "vmbr0")
        await HelperShell(ways).isolate(NODE, 20001)
        await HelperShell(ways).isolate(NODE, 20001)
    finally:
        ways.close()
    assert node.ran() == [
        ["pct", "status", "20001"],
        ["pct", "exec", "20001", "--", *words],
        ["ip", "-6", "route", "replace", "2001:db8::15/128", "dev", "vmbr0"],
        ["bridge", "-d", "-o", "link", "show"],
        ["bridge", "link", "set", "dev", "fwpr20001p0", "isolated", "on"],
        ["bridge", "-d", "-o", "link", "show"],
    ]


async def test_only_ports_of_ours_on_bridges_of_ours_are_shown_or_changed(node: OpenSsh) -> None:
    for name, bridge in (
        ("tap101i0", "vmbr0"),  # another's machine
        ("tap20003i0", "vmbr9"),  # another bridge
        ("fwln20003i0@fwpr20003p0", "fwbr20003i0"),  # inside the firewall's own bridge
        ("eno1", "vmbr0"),
        ("tap20003i0x", "vmbr0"),
        ("veth20004i0@if2", "vmbr0"),
        ("tap20005i0", "vmbr1"),
    ):
        node.add_port(name, bridge)
    ways = Connections(node.login())
    try:
        assert await HelperShell(ways).isolated(NODE) == {20004: False, 20005: False}
        await HelperShell(ways).isolate(NODE, 20005)
        assert await HelperShell(ways).isolated(NODE) == {20004: False, 20005: True}
    finally:
        ways.close()


async def test_what_the_project_prints_is_what_the_helper_reads(node: OpenSsh) -> None:
    text = helper_config(
        20000,
        20199,
        snippets="/var/lib/vz/snippets",
        prefixes=["2001:db8::/64", "2001:db8:7::/64"],
        bridges=["vmbr0", "vmbr1.42"],
    )
    (node.folder / "node.conf").write_text(text)
    assert (await asyncio.to_thread(helper, node, b"version")).returncode == 0
    line = authorized_line(node.key.export_private_key())
    assert line.startswith('command="/usr/local/sbin/chainwatch-node",restrict ssh-ed25519 ')
