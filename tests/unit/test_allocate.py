"""What follows from a VMID, which VMID is next, and why a pool cannot work."""

from dataclasses import replace
from typing import Final

import pytest

from provisioner.allocate import AddressRange, Pool
from provisioner.errors import NoRoom

V4: Final = AddressRange("192.0.2.250/23", "192.0.2.1")
V6: Final = AddressRange("2001:db8::fffe/64", "2001:db8::1")
POOL: Final = Pool(20000, 20009, "02:00:00", V4, V6)


def test_addresses_and_mac_follow_from_a_vmids_place_in_its_range() -> None:
    first, last = POOL.addresses(20000), POOL.addresses(20009)
    assert (first.mac, last.mac) == ("02:00:00:00:00:00", "02:00:00:00:00:09")
    assert (first.ipv4, last.ipv4) == ("192.0.2.250/23", "192.0.3.3/23")
    assert (first.ipv6, last.ipv6) == ("2001:db8::fffe/64", "2001:db8::1:7/64")
    assert (first.gateway4, first.gateway6) == ("192.0.2.1", "2001:db8::1")


def test_no_two_machines_share_anything() -> None:
    everything = [POOL.addresses(vmid) for vmid in range(20000, 20010)]
    for what in ("mac", "ipv4", "ipv6"):
        assert len({getattr(each, what) for each in everything}) == 10


def test_a_pool_with_one_kind_of_address_gives_one() -> None:
    only = replace(POOL, ipv4=None).addresses(20003)
    assert (only.ipv4, only.gateway4, only.ipv6) == (None, None, "2001:db8::1:1/64")


@pytest.mark.parametrize("vmid", [19999, 20010])
def test_a_vmid_outside_the_range_has_no_addresses(vmid: int) -> None:
    assert vmid not in POOL
    with pytest.raises(ValueError, match="not in 20000-20009"):
        POOL.addresses(vmid)


def test_the_lowest_free_vmid_is_next() -> None:
    assert POOL.choose({20000, 20001, 20003, 9000}) == 20002


def test_a_full_pool_says_so() -> None:
    with pytest.raises(NoRoom, match="all 10 VMIDs of 20000-20009"):
        POOL.choose(set(range(20000, 20010)))


def test_a_mac_counts_over_three_bytes() -> None:
    wide = Pool(100, 100 + (1 << 24) - 1, "02:ab:00", None, AddressRange("2001:db8::9/64", "::1"))
    assert wide.addresses(100 + (1 << 24) - 1).mac == "02:AB:00:FF:FF:FF"


PROBLEMS: Final = [
    (replace(POOL), None),
    (replace(POOL, first=99), "not a range within"),
    (replace(POOL, first=20010), "not a range within"),
    (replace(POOL, last=1_000_000_000), "not a range within"),
    (replace(POOL, first=100, last=20_000_000), "more than one MAC prefix"),
    (replace(POOL, ipv4=None, ipv6=None), "needs an address"),
    (replace(POOL, ipv4=AddressRange("192.0.2.0/24", "192.0.2.200")), "no room"),
    (replace(POOL, ipv4=AddressRange("192.0.2.246/24", "192.0.2.1")), "no room"),
    (replace(POOL, ipv4=AddressRange("192.0.2.245/24", "192.0.2.1")), None),
    (replace(POOL, ipv4=AddressRange("192.0.2.10/24", "192.0.2.15")), "is among the 10 addresses"),
    (replace(POOL, ipv4=AddressRange("192.0.2.10/24", "198.51.100.1")), "is not in 192.0.2.0/24"),
    (replace(POOL, ipv4=AddressRange("192.0.2.10/24", "2001:db8::1")), "is not in"),
    (replace(POOL, ipv4=AddressRange("192.0.2.300/24", "192.0.2.1")), "192.0.2.300"),
    (replace(POOL, ipv4=AddressRange("192.0.2.10/24", "here")), "here"),
    (replace(POOL, ipv6=AddressRange("2001:db8::fff8/112", "2001:db8::1")), "no room"),
    (replace(POOL, ipv6=AddressRange("2001:db8::2/112", "2001:db8::1")), None),
]


@pytest.mark.parametrize(("pool", "problem"), PROBLEMS)
def test_a_pool_says_why_it_cannot_work(pool: Pool, problem: str | None) -> None:
    said = " ".join(pool.problems())
    assert said == "" if problem is None else problem in said


@pytest.mark.parametrize("pool", [pool for pool, problem in PROBLEMS if problem is None])
def test_a_pool_without_problems_has_addresses_for_all_of_its_machines(pool: Pool) -> None:
    for vmid in (pool.first, pool.last):
        assert pool.addresses(vmid).ipv4
