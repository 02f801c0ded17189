"""Logs that nobody could read: counted by kind, told once for each, however many there are."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from chainwatch.chain.decode import Unreadable
from chainwatch.chain.unread import FURTHER, MOST_KINDS, NO_TOPIC, Tally
from chainwatch.control.unread import UnreadLogs
from chainwatch.store.alarms import Alarm, Alarms
from chainwatch.store.database import Database
from provisioner.simulator.cluster import Cluster
from tests.support.realm import ClusterClock, source_settings

METADATA_UPDATE = "0xf8e1a15aba9398e019f0b49df1a4fde98ee17ae345cb5f6b5e2c27f5033e8ce7"


def unreadable(topic: str, block: int = 7) -> Unreadable:
    return Unreadable(block, "0xb", 3, "0xt", topic, "its topic is none of profile erc5643")


@pytest.fixture
async def alarms(tmp_path: Path) -> AsyncIterator[Alarms]:
    db = await Database.open(tmp_path / "x.db", create=True)
    yield Alarms(db)
    await db.close()


def unread_logs(alarms: Alarms, *ignored: str) -> UnreadLogs:
    settings = replace(source_settings("shop"), ignore_events=ignored)
    return UnreadLogs(settings, alarms, ClusterClock(Cluster()))


async def told(alarms: Alarms, logs: UnreadLogs, *said: Unreadable) -> list[Alarm]:
    tally = Tally()
    tally.add(said)
    await logs.tell(tally.take())
    return await alarms.all()


async def test_a_hundred_logs_of_one_kind_are_one_alarm_with_their_number(alarms: Alarms) -> None:
    logs = unread_logs(alarms)
    await told(alarms, logs, *[unreadable("0xaa", block) for block in range(60)])
    (alarm,) = await told(alarms, logs, *[unreadable("0xaa", block) for block in range(60, 100)])
    assert (alarm.name, alarm.subject, alarm.severity) == ("unreadable-log", "shop 0xaa", "warning")
    assert alarm.text.startswith("100 logs since the start could not be read")
    assert "the last is log 3 of block 99 (transaction 0xt): its topic is none of" in alarm.text


async def test_each_kind_has_an_alarm_of_its_own(alarms: Alarms) -> None:
    found = await told(
        alarms, unread_logs(alarms), unreadable("0xaa"), unreadable(""), unreadable("0xbb")
    )
    assert {alarm.subject for alarm in found} == {"shop 0xaa", f"shop {NO_TOPIC}", "shop 0xbb"}
    assert all(alarm.text.startswith("a log could not be read") for alarm in found)


async def test_ever_new_kinds_are_told_together_after_the_first_few(alarms: Alarms) -> None:
    tally, logs = Tally(), unread_logs(alarms)
    for number in range(MOST_KINDS + 500):
        tally.add([unreadable(f"0x{number:064x}")])
    await logs.tell(tally.take())
    tally.add([unreadable(f"0x{number:064x}") for number in (0, 9999)])
    await logs.tell(tally.take())
    found = {alarm.subject: alarm.text for alarm in await alarms.all()}
    assert len(found) == MOST_KINDS + 1
    assert found[f"shop {FURTHER}"].startswith("501 logs")
    assert found[f"shop 0x{0:064x}"].startswith("2 logs")


async def test_an_event_that_is_named_as_known_later_ends_its_alarm(alarms: Alarms) -> None:
    said = (unreadable(METADATA_UPDATE), unreadable("0xbb"))
    await told(alarms, unread_logs(alarms), *said)
    await unread_logs(alarms, "MetadataUpdate(uint256)").settle()
    assert [alarm.subject for alarm in await alarms.all()] == ["shop 0xbb"]


def test_what_was_taken_from_a_tally_is_not_taken_again() -> None:
    tally = Tally()
    tally.add([unreadable("0xaa"), unreadable("0xaa")])
    (unread,) = tally.take()
    assert (unread.kind, unread.count) == ("0xaa", 2)
    assert tally.take() == ()
