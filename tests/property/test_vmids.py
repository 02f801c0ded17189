"""However VMIDs are made, lost, taken and used again: nothing that is not ours is ever touched.

A rival works in our range of VMIDs at the same time: it takes what we would take next, takes what
our machine has just left, copies our words of any time, edits them, and breaks off our clones. It
acts between our passes and within them. Proxmox fails meanwhile, and we forget. At rest everything
that is owed is there, and what is over is gone, or the last sentence about it says what is in the
way. In the end all of it is over. `CHAINWATCH_SOAK=n` lives 200 times n new histories.
"""

import os
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provisioner.model import Kind, Presence
from provisioner.simulator.faults import Fault, FaultName
from tests.support.mishaps import faults
from tests.support.rivals import (
    DESTROYING,
    FIRST,
    GRACE,
    LAST,
    NAMES,
    RIVAL,
    Arena,
    Happening,
    Want,
)

SOAK: Final = int(os.environ.get("CHAINWATCH_SOAK", "0"))
HISTORIES: Final = 1000

names = st.sampled_from(NAMES)
vmids = st.integers(FIRST, LAST)


def buys(name: str) -> Happening:
    """Somebody buys a machine, or one that ended is paid for again."""

    async def happen(arena: Arena) -> None:
        want = arena.wants.setdefault(name, Want(Presence.RUNNING))
        want.presence = Presence.RUNNING

    return happen


def ends(name: str) -> Happening:
    async def happen(arena: Arena) -> None:
        if name in arena.wants:
            arena.wants[name].presence = Presence.SUSPENDED
            arena.wants[name].ended_at = int(arena.cluster.now)

    return happen


def buys_anew(name: str) -> Happening:
    """The same name is bought as another machine; nobody speaks of the former one any more."""

    async def happen(arena: Arena) -> None:
        if name in arena.wants:
            arena.wants[name] = Want(Presence.RUNNING, arena.wants[name].mint + 1)

    return happen


def works(name: str, passes: int) -> Happening:
    async def happen(arena: Arena) -> None:
        for _ in range(passes):
            if name in arena.wants:
                await arena.step(name)
            arena.cluster.advance(1)

    return happen


def time_passes(seconds: int) -> Happening:
    async def happen(arena: Arena) -> None:
        arena.cluster.advance(seconds)

    return happen


def rival_takes_next(words_of: int | None) -> Happening:
    """The rival takes the VMID that we would take, perhaps with the words of a machine of ours."""

    async def happen(arena: Arena) -> None:
        free = [v for v in range(FIRST, LAST + 1) if v not in arena.cluster.state.guests]
        if free:
            arena.rival_takes(free[0], _words(arena, words_of))

    return happen


def rival_takes_over(one: int) -> Happening:
    """Our machine is removed by hand, and the rival stands at its VMID with its very words."""

    async def happen(arena: Arena) -> None:
        vmids = _whole(arena)
        if vmids:
            vmid = vmids[one % len(vmids)]
            words = str(arena.cluster.guest(vmid).config["description"])
            arena.cluster.settle()
            arena.cluster.remove_guest(vmid)
            arena.rival_takes(vmid, words)

    return happen


def _replaced(arena: Arena, one: int, word: int, kind: Kind, *, edited: bool) -> None:
    """What stands at a VMID of ours goes, and the rival stands there with words of ours."""
    arena.overhear()
    vmids = [vmid for vmid, words in sorted(arena.overheard.items()) if words]
    if not vmids:
        return
    vmid = vmids[one % len(vmids)]
    if vmid in arena.cluster.state.guests:
        arena.rival_removes(vmid)
    words = arena.overheard[vmid]
    said = words[word % len(words)]
    if vmid not in arena.cluster.state.guests:
        arena.rival_takes(vmid, said.replace('"sig":"', '"sig":"0') if edited else said, kind)


def rival_replays(one: int, word: int, kind: Kind, *, edited: bool) -> Happening:
    """The rival stands where a machine of ours is or was, with words that one once had there."""

    async def happen(arena: Arena) -> None:
        _replaced(arena, one, word, kind, edited=edited)

    return happen


def rival_ambushes(
    name: str, call: tuple[str, str], one: int, word: int, kind: Kind, *, edited: bool
) -> Happening:
    """The rival does so in the middle of a pass of ours, right before a call that can tell."""

    async def happen(arena: Arena) -> None:
        def act() -> None:
            _replaced(arena, one, word, kind, edited=edited)

        await buys(name)(arena)
        arena.api.ambush = (*call, act)
        await works(name, 4)(arena)

    return happen


def rival_strikes(name: str, one: int, word: int, kind: Kind, *, edited: bool) -> Happening:
    """The rival does so after we have looked at a machine whose grace is over, to destroy it."""

    async def happen(arena: Arena) -> None:
        arena.strike = partial(_replaced, arena, one, word, kind, edited=edited)
        await dies(name)(arena)
        arena.strike = None

    return happen


#: Calls that notice who stands there: what reads a configuration, makes a guest, or has a digest.
TELLING: Final = (("GET", "/config"), ("PUT", "/config"), ("POST", "/clone"), ("POST", "/lxc"))


def rival_leaves(one: int) -> Happening:
    async def happen(arena: Arena) -> None:
        if arena.rivals:
            arena.rival_leaves(sorted(arena.rivals)[one % len(arena.rivals)])

    return happen


def clone_is_broken_off(name: str, *, taken: bool) -> Happening:
    """A new machine's clone is stopped by an operator; the rival may take its VMID at once."""

    async def happen(arena: Arena) -> None:
        await buys(name)(arena)
        await buys_anew(name)(arena)
        await arena.step(name)
        for _, operation in await arena.log.open_all():
            if operation.step != "clone" or operation.upid is None:
                continue
            arena.rival_calls("DELETE", f"/nodes/pve/tasks/{operation.upid}")
            arena.cluster.settle()
            if taken and operation.vmid not in arena.cluster.state.guests:
                arena.rival_takes(operation.vmid, None)

    return happen


def lives(name: str) -> Happening:
    """A machine is bought and comes up."""

    async def happen(arena: Arena) -> None:
        await buys(name)(arena)
        await works(name, 16)(arena)

    return happen


def lived(name: str) -> Happening:
    """A machine is bought, comes up, and runs: what follows happens to something."""

    async def happen(arena: Arena) -> None:
        await lives(name)(arena)
        called = arena.desired(name).name
        assert any(g.name == called and g.running for g in arena.cluster.state.guests.values())

    return happen


def dies(name: str) -> Happening:
    """Nobody pays any more, and the grace passes; somebody may be in the way of the destroy."""

    async def happen(arena: Arena) -> None:
        await ends(name)(arena)
        await works(name, 6)(arena)
        arena.cluster.advance(GRACE + 60)
        await works(name, 3)(arena)

    return happen


def removed_by_hand(one: int) -> Happening:
    async def happen(arena: Arena) -> None:
        vmids = _whole(arena)
        if vmids:
            arena.cluster.settle()
            arena.cluster.remove_guest(vmids[one % len(vmids)])

    return happen


def proxmox_fails(fault: Fault) -> Happening:
    async def happen(arena: Arena) -> None:
        if len(arena.cluster.state.faults.armed) < 3:
            arena.cluster.arm(fault)

    return happen


def we_forget() -> Happening:
    """Our memory is lost; of a clone under way, or on its way, nobody could know whose it is."""

    async def happen(arena: Arena) -> None:
        arena.cluster.advance(max(arena.api.arrived - arena.cluster.now, 0))
        if all(guest.lock is None for guest in arena.cluster.state.guests.values()):
            await arena.forget()

    return happen


def _whole(arena: Arena) -> list[int]:
    """Return our machines that were started once: whoever copies such words lacks the uuid."""
    return [
        vmid
        for vmid, guest in arena.cluster.state.guests.items()
        if FIRST <= vmid <= LAST
        and guest.created_by != RIVAL
        and guest.lock is None
        and arena.was_started(vmid)
    ]


def _words(arena: Arena, one: int | None) -> str | None:
    whole = _whole(arena)
    if one is None or not whole:
        return None
    return str(arena.cluster.guest(whole[one % len(whole)]).config["description"])


which = st.integers(0, 3)
sorts = st.sampled_from(Kind)
calls = st.sampled_from(TELLING)
make: Callable[..., st.SearchStrategy[Happening]] = st.builds
happenings = st.one_of(
    make(lives, names),
    make(dies, names),
    make(buys, names),
    make(works, names, st.sampled_from((1, 2, 4, 8))),
    make(ends, names),
    make(buys_anew, names),
    make(time_passes, st.sampled_from((1, 40, GRACE + 60))),
    make(rival_takes_next, st.one_of(st.none(), which)),
    make(rival_takes_over, which),
    make(rival_leaves, which),
    make(rival_replays, which, which, sorts, edited=st.booleans()),
    make(rival_ambushes, names, calls, which, which, sorts, edited=st.booleans()),
    make(rival_strikes, names, which, which, sorts, edited=st.booleans()),
    make(clone_is_broken_off, names, taken=st.booleans()),
    make(removed_by_hand, which),
    make(proxmox_fails, faults),
    make(we_forget),
)


@pytest.mark.timeout(0 if SOAK else 300)
@pytest.mark.parametrize("part", range(1, 200 * SOAK // HISTORIES + 1) or [1])
def test_nothing_that_is_not_ours_is_touched_and_nothing_of_ours_is_left(part: int) -> None:
    destroyed: Counter[str] = Counter()

    @settings(
        max_examples=HISTORIES,
        derandomize=not SOAK,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(first=names, story=st.lists(happenings, min_size=4, max_size=16))
    def live(first: str, story: list[Happening]) -> None:
        arena = Arena()
        arena.play([lived(first), *story])
        destroyed.update(arena.destroyed())

    live()
    assert min(destroyed[kind] for kind in DESTROYING) > HISTORIES // 10, (part, destroyed)


def test_a_rival_s_machine_with_our_very_words_is_left_alone() -> None:
    arena = Arena()
    arena.play([lives("a"), rival_takes_over(0), works("a", 20), ends("a")])
    assert any("uuid" in said for said in arena.said), arena.said
    assert len(arena.rivals) == 1


def replayed(one: int = 0) -> Happening:
    """The rival stands at a VMID with the first words that a machine of ours had there."""
    return rival_replays(one, 0, Kind.VM, edited=False)


def ambushed(name: str, method: str, end: str) -> Happening:
    """The rival does so right before a call of ours."""
    return rival_ambushes(name, (method, end), 0, 0, Kind.VM, edited=False)


def test_who_takes_a_vmid_before_our_clone_does_with_words_of_a_former_one_is_left_alone() -> None:
    arena = Arena()
    lives_on = (lives("a"), lives("a"))
    arena.play([lived("b"), dies("b"), *lives_on, ambushed("b", "POST", "/clone")])
    assert any("words of a former one" in said for said in arena.said), arena.said


@pytest.mark.parametrize("kind", Kind)
def test_who_takes_a_vmid_between_our_look_and_our_destroy_keeps_it(kind: Kind) -> None:
    arena = Arena()
    arena.play([lived("a"), rival_strikes("a", 0, 3, kind, edited=False)])
    assert len(arena.rivals) == 1
    assert any("since it was looked at" in said for said in arena.said), arena.said


def test_words_of_a_bare_clone_do_not_help_where_ours_was_never_started_and_all_is_forgotten() -> (
    None
):
    broken = [clone_is_broken_off(name, taken=False) for name in ("c", "a")]
    strike = rival_strikes("a", 1, 0, Kind.VM, edited=False)
    arena = Arena()
    arena.play([lived("a"), *broken, strike, we_forget()])
    assert arena.rivals


def test_a_machine_is_not_taken_for_started_because_a_former_one_at_its_vmid_was() -> None:
    started: list[bool] = []

    async def looked_at(arena: Arena) -> None:
        arena.cluster.settle()
        started.append(arena.was_started(FIRST))

    anew = [dies("c"), time_passes(40), buys("c"), buys_anew("c"), works("c", 1), looked_at]
    Arena().play([lived("c"), looked_at, *anew])
    assert started == [True, False]


def test_a_clone_that_comes_late_is_no_second_machine_though_another_one_failed_meanwhile() -> None:
    late = Fault(FaultName.HANG, "POST", "*/clone", seconds=40.0)
    broken = Fault(FaultName.TASK_FAILS, "POST", "*/clone", text="unexpected status")
    fails = [proxmox_fails(late), proxmox_fails(broken)]
    arena = Arena()
    arena.play([lived("a"), dies("a"), *fails, lives("a"), time_passes(40), works("a", 8)])
    assert any("unexpected status" in said for said in arena.said), arena.said


def test_of_two_that_say_to_be_one_machine_none_is_made_anew_when_the_stranger_goes() -> None:
    arena = Arena()
    arena.play([lived("a"), dies("a"), lives("a"), replayed(), we_forget(), rival_leaves(0)])
    assert not arena.rivals


def test_settings_that_come_late_do_not_change_who_stands_there_by_then() -> None:
    late = Fault(FaultName.HANG, "PUT", "/nodes/pve/qemu/2????/config", seconds=40.0)
    broken = clone_is_broken_off("b", taken=False)
    arena = Arena()
    arena.play(
        [lived("a"), broken, proxmox_fails(late), ambushed("b", "GET", "/config"), replayed(1)]
    )
    assert sorted(arena.rivals) == [20000, 20001]
