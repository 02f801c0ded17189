"""The parts of the demo that judge and tell, without the processes that they tell about."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from chainwatch.chain.wallet.amounts import Money
from chainwatch.demo import report
from chainwatch.demo.buyer import NATIVE
from chainwatch.demo.cluster import Guest, Inventory, Task
from chainwatch.demo.deployed import Receipt, Said
from chainwatch.demo.expectations import Playbill, Unmet
from chainwatch.demo.narrator import Narrator, Who, moment, span
from chainwatch.demo.sayings import Sayings
from chainwatch.demo.watching import DaemonVoice, changes

OURS = "root@pam!sim"
GUEST = Guest(
    vmid=20000,
    name="lease-1-00000000",
    created_by=OURS,
    template=False,
    power="stopped",
    booted=False,
    boots=0,
    link_up=True,
    lock=None,
    config={"cores": 2, "memory": "2048", "scsi0": "local:20000/vm.qcow2,size=10G", "onboot": 1},
    authorized_keys={},
    sessions=(),
)
EMPTY = Inventory(guests={}, volumes={}, firewalls=(), tasks=(), foreign_touched={})
LEASE = "eip155:31337/erc721:0x5fbdb2315678afecb367f032d93f642f64180aa3/42"


def narrated() -> tuple[Narrator, io.StringIO]:
    said = io.StringIO()
    return Narrator(Console(file=said, highlight=False)), said


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


def playbill(gone: str | None = None) -> Playbill:
    return Playbill(narrated()[0], lambda: gone)


# --- what is expected -----------------------------------------------------------------------------


async def test_an_act_in_which_all_is_as_expected_is_ok() -> None:
    bill = playbill()
    async with bill.act("one", "The first act"):
        await bill.until("the sun rises", yes)
    assert bill.ok
    assert bill.acts[0].met == ["the sun rises"]


async def test_what_does_not_come_true_in_time_ends_the_act_with_its_sentence() -> None:
    bill = playbill()
    with pytest.raises(Unmet, match=r"pigs fly: not so after 0\.1 s"):
        async with bill.act("one", "The first act"):
            await bill.until("pigs fly", no, within=0.1)
    assert not bill.ok
    assert bill.acts[0].unmet == "pigs fly: not so after 0.1 s"


async def test_nothing_is_awaited_from_a_process_that_is_gone() -> None:
    bill = playbill(gone="the daemon ended with 1: no such key")
    with pytest.raises(Unmet, match="it is ready: the daemon ended with 1: no such key"):
        async with bill.act("one", "The first act"):
            await bill.until("it is ready", no)


async def test_a_story_without_acts_has_not_come_true() -> None:
    assert not playbill().ok


# --- what is counted ------------------------------------------------------------------------------


def test_only_tasks_that_ended_well_and_were_ours_count() -> None:
    tasks = (
        Task("1", "qmclone", "9000", OURS, "OK"),
        Task("2", "qmclone", "9000", OURS, "clone failed: no space"),
        Task("3", "qmclone", "9000", OURS, None),
        Task("4", "qmclone", "9000", "root@pam!other", "OK"),
        Task("5", "qmdestroy", "20000", OURS, "OK"),
    )
    counted = report.tally(replace(EMPTY, tasks=tasks), OURS, over=True)
    assert (counted.created, counted.destroyed) == (1, 1)


@pytest.mark.parametrize(
    ("inventory", "over", "leaked"),
    [
        (replace(EMPTY, guests={20000: GUEST}), True, 1),
        (replace(EMPTY, guests={20000: GUEST}), False, 0),
        (replace(EMPTY, guests={20001: replace(GUEST, vmid=20001, created_by="x")}), True, 0),
        (replace(EMPTY, volumes={"local:20000/vm.qcow2": 20000}), False, 1),
        (replace(EMPTY, firewalls=(20000, 20003)), True, 2),
    ],
    ids=["machine at the end", "machine before", "stranger's", "disk", "firewalls"],
)
def test_a_leak_is_what_is_left_and_nobody_s(inventory: Inventory, over: bool, leaked: int) -> None:
    assert report.tally(inventory, OURS, over=over).leaked == leaked


def test_a_stranger_that_was_changed_is_counted() -> None:
    inventory = replace(EMPTY, foreign_touched={OURS: (20001,), "other": (1, 2)})
    assert report.tally(inventory, OURS, over=True).foreign_touched == 1


async def test_the_verdict_is_one_line_of_json() -> None:
    bill = playbill()
    async with bill.act("one", "The first act"):
        await bill.always("the sun rises", yes)
    line = report.as_json(bill, report.tally(EMPTY, OURS, over=True))
    assert "\n" not in line
    verdict = json.loads(line)
    assert verdict["ok"] is True
    assert verdict["acts"][0]["name"] == "one"
    assert verdict["machines"] == {"created": 0, "destroyed": 0, "leaked": 0, "foreign_touched": 0}


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (90, "1 min 30 s"), (7200, "2 h"), (86_400, "1 day"), (180_000, "2 days 2 h")],
)
def test_a_duration_is_told_as_people_say_it(seconds: int, text: str) -> None:
    assert span(seconds) == text


def test_a_line_begins_with_the_chain_s_time_and_stays_one_line() -> None:
    narrator, said = narrated()
    narrator.chain_time = 1_800_000_000
    narrator.tell(Who.DAEMON, "a sentence\nthat is " + "long " * 60)
    lines = said.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{moment(1_800_000_000)}  daemon   a sentence that is long long")


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (
            None,
            replace(GUEST, lock="clone"),
            "VM 20000 appears (lock: clone), made by root@pam!sim",
        ),
        (GUEST, None, "VM 20000 is gone"),
        (GUEST, replace(GUEST, power="running"), "VM 20000 is running"),
        (GUEST, replace(GUEST, link_up=False), "VM 20000 is cut off from the network"),
        (GUEST, replace(GUEST, config={**GUEST.config, "cores": 4}), "VM 20000 has cores 4"),
    ],
)
def test_what_changed_about_a_machine_is_told(
    before: Guest | None, now: Guest | None, told: str
) -> None:
    assert list(changes(before, now)) == [told]


def test_what_did_not_change_is_not_told() -> None:
    assert list(changes(GUEST, GUEST)) == []


def test_a_decision_is_told_once_until_it_changes() -> None:
    voice = DaemonVoice()
    passes = [
        json.dumps({"event": "pass", "lease": LEASE, "decided": decided}).encode()
        for decided in ("it waits", "it waits", "its grace has ended", "it waits")
    ]
    assert [voice.of(line) for line in passes] == [
        "lease 42: it waits",
        None,
        "lease 42: its grace has ended",
        "lease 42: it waits",
    ]


def test_a_trace_in_the_log_is_told_as_it_stands() -> None:
    assert DaemonVoice().of(b"Traceback (most recent call last):") is not None


ALICE, BOB, SHOPKEEPER = ("0x" + digits * 20 for digits in ("a1", "b0", "5e"))
TEST = Money("0x" + "7e" * 20, "TEST", 6)
NOON = 1_800_000_000


def said_in(sayings: Sayings, sender: str, *events: Said) -> str:
    return sayings.told(Receipt("0x", sender, 7, "0x", 0, 0, events))


def sayings() -> Sayings:
    names = {ALICE: "Alice", BOB: "Bob", SHOPKEEPER: "the operator"}
    return Sayings(lambda account: names[str(account)], {1: TEST, 2: Money()})


def event(name: str, **values: object) -> Said:
    return Said(name, {"tokenId": 42, **values})


def test_a_purchase_and_a_delivery_are_told_with_who_paid_what_and_until_when() -> None:
    voice = sayings()
    minted = event("Transfer", **{"from": NATIVE, "to": ALICE})
    paid = event("LeaseMinted", planId=1, payer=BOB, paid=360_000)
    until = event("SubscriptionUpdate", expiration=NOON)
    assert said_in(voice, BOB, minted, paid, until) == (
        "block 7, by Bob: lease 42 is minted for Alice; Bob paid 0.36 TEST; "
        f"lease 42 is to be delivered by {moment(NOON)}"
    )
    assert said_in(voice, SHOPKEEPER, event("LeaseDelivered"), until) == (
        "block 7, by the operator: lease 42 is delivered, and its time begins; "
        f"lease 42 is paid until {moment(NOON)}"
    )


def test_money_is_told_in_what_the_lease_is_paid_in() -> None:
    voice = sayings()
    said_in(voice, BOB, event("LeaseMinted", planId=2, payer=BOB, paid=1))
    renewed = event("LeaseRenewed", payer=ALICE, paid=10**16)
    refunded = event("Refunded", owner=BOB, amount=10**15, fee=0)
    burned = event("Transfer", **{"from": BOB, "to": NATIVE})
    taken = Said("Withdrawn", {"token": TEST.address, "to": ALICE, "amount": 10})
    assert said_in(voice, ALICE, renewed).endswith(": Alice paid 0.01 coin more")
    told = said_in(voice, BOB, refunded, burned)
    assert told.endswith(": 0.001 coin are Bob's again; lease 42 is burned")
    assert said_in(voice, SHOPKEEPER, taken).endswith(": 0.00001 TEST go to Alice")


def test_a_transaction_in_which_the_shop_said_nothing_of_interest_is_not_told() -> None:
    assert said_in(sayings(), ALICE) == ""
    assert said_in(sayings(), ALICE, event("EscrowUpdate", escrow=1, settledAt=0)) == ""


def test_a_transaction_that_failed_is_told() -> None:
    failed = Receipt("0x", BOB, 7, "0x", 0, 0, (), ok=False)
    assert sayings().told(failed) == "block 7, by Bob: a transaction failed"
