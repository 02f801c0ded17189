"""The guest behind the agent: whose key opens it, and who is still inside."""

from urllib.parse import quote

import pytest

from provisioner.simulator.guestos import key_file
from tests.support.simulated import KEY, OTHER_KEY, QEMU, Console

GUEST = f"{QEMU}/218"


@pytest.fixture
def console() -> Console:
    console = Console()
    console.clone()
    give(console, KEY)
    boot(console)
    return console


def give(console: Console, key: str) -> None:
    console.data("PUT", f"{GUEST}/config", sshkeys=quote(key, safe=""), ciuser="owner")


def boot(console: Console) -> None:
    console.task("POST", f"{GUEST}/status/stop")
    console.task("POST", f"{GUEST}/status/start")
    console.cluster.advance(20)


def run(console: Console, *command: str) -> dict[str, object]:
    pid = console.data("POST", f"{GUEST}/agent/exec", command=command)
    assert isinstance(pid, dict)
    console.cluster.advance(1)
    return dict(console.read(f"{GUEST}/agent/exec-status", pid=int(str(pid["pid"]))))


def test_a_booted_guest_admits_the_key_it_was_given_and_no_other(console: Console) -> None:
    assert console.cluster.admits(218, KEY)
    assert not console.cluster.admits(218, OTHER_KEY)


def test_a_new_key_is_added_at_the_next_boot_and_the_old_one_stays(console: Console) -> None:
    give(console, OTHER_KEY)
    assert not console.cluster.admits(218, OTHER_KEY)
    boot(console)
    assert console.cluster.admits(218, OTHER_KEY)
    assert console.cluster.admits(218, KEY)


def test_an_unchanged_instance_does_not_bring_a_removed_key_back(console: Console) -> None:
    console.data("POST", f"{GUEST}/agent/file-write", file=key_file("owner"), content="")
    boot(console)
    assert not console.cluster.admits(218, KEY)


def test_writing_the_key_file_locks_the_former_owner_out(console: Console) -> None:
    content = f"{OTHER_KEY}\n"
    console.data("POST", f"{GUEST}/agent/file-write", file=key_file("owner"), content=content)
    assert not console.cluster.admits(218, KEY)
    assert console.cluster.admits(218, OTHER_KEY)


def test_nobody_enters_while_the_cable_is_pulled_or_the_machine_is_off(
    console: Console,
) -> None:
    net = str(console.read(f"{GUEST}/config")["net0"])
    console.data("PUT", f"{GUEST}/config", net0=f"{net},link_down=1")
    assert not console.cluster.admits(218, KEY)
    console.data("PUT", f"{GUEST}/config", net0=net)
    assert console.cluster.admits(218, KEY)
    console.task("POST", f"{GUEST}/status/stop")
    assert not console.cluster.admits(218, KEY)


def test_a_session_outlives_the_key_and_ends_when_it_is_killed(console: Console) -> None:
    assert console.cluster.log_in(218, KEY)
    console.data("POST", f"{GUEST}/agent/file-write", file=key_file("owner"), content="")
    assert console.cluster.inventory().guests[218].sessions == ("owner",)
    assert run(console, "pkill", "-KILL", "-u", "owner")["exitcode"] == 0
    assert console.cluster.inventory().guests[218].sessions == ()
    assert run(console, "pkill", "-KILL", "-u", "owner")["exitcode"] == 1


def test_root_cannot_be_entered_with_a_key_that_cloud_init_gave(console: Console) -> None:
    root = console.cluster.inventory().guests[218].authorized_keys[key_file("root")]
    assert "Please login as the user" in root
    assert console.cluster.guest(218).os.account_of(KEY) == "owner"


def test_a_silent_agent_takes_three_seconds_to_say_so(console: Console) -> None:
    console.cluster.guest(218).has_agent = False
    response = console.ask("POST", f"{GUEST}/agent/ping")
    assert (response.reason, response.delay) == ("QEMU guest agent is not running", 3.0)
    console.data("PUT", f"{GUEST}/config", agent="0")
    console.task("POST", f"{GUEST}/status/stop")
    response = console.ask("POST", f"{GUEST}/agent/ping")
    assert (response.reason, response.delay) == ("No QEMU guest agent configured", 0)
    console.data("PUT", f"{GUEST}/config", agent="1")
    assert console.ask("POST", f"{GUEST}/agent/ping").reason == "VM 218 is not running"


def test_an_agent_that_comes_up_while_it_is_asked_answers(console: Console) -> None:
    console.task("POST", f"{GUEST}/status/reset")
    console.cluster.advance(6)
    response = console.ask("POST", f"{GUEST}/agent/ping")
    assert (response.status, response.delay) == (200, 3.0)


def test_a_program_has_not_ended_just_because_it_was_started(console: Console) -> None:
    started = console.data("POST", f"{GUEST}/agent/exec", command=("sleep", "5"))
    assert isinstance(started, dict)
    pid = int(str(started["pid"]))
    assert console.read(f"{GUEST}/agent/exec-status", pid=pid) == {"exited": 0}
    console.cluster.advance(6)
    assert console.read(f"{GUEST}/agent/exec-status", pid=pid) == {"exited": 1, "exitcode": 0}


def test_a_missing_program_breaks_the_pipe(console: Console) -> None:
    response = console.ask("POST", f"{GUEST}/agent/exec", command=("/nonexistent",))
    assert (response.status, response.reason, response.delay) == (596, "Broken pipe", 5.0)
