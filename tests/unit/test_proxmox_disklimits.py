"""The limits in a disk's line are read and written, and the rest of the line is never touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provisioner.backends.proxmox.disklimits import read, write
from provisioner.terms import UNLIMITED, DiskLimits
from tests.support import pve_schema

VOLUME = "local-lvm:base-9000-disk-0/vm-20000-disk-0"
PLAIN = f"{VOLUME},discard=on,iothread=1,size=10G,ssd=1"
#: Every key that 8.4 and 9.1 have for limits, as their schemas name them.
BURSTS = "mbps,mbps_max,mbps_rd_max,mbps_wr_max,iops,iops_max,iops_rd_max,iops_wr_max"
LASTING = (
    "bps_max_length,bps_rd_length,bps_rd_max_length,bps_wr_length,bps_wr_max_length,"
    "iops_max_length,iops_rd_length,iops_rd_max_length,iops_wr_length,iops_wr_max_length,"
    "bps,bps_rd,bps_wr"
)
OTHERS = [f"{key}=7" for key in f"{BURSTS},{LASTING}".split(",")]

limits = st.builds(
    DiskLimits,
    mbps_read=st.sampled_from([0, 0.5, 12.5, 200]),
    mbps_write=st.sampled_from([0, 1, 10_240]),
    iops_read=st.integers(0, 10_000_000),
    iops_write=st.integers(0, 10_000_000),
    other=st.lists(st.sampled_from(OTHERS), max_size=5, unique=True).map(
        lambda parts: ",".join(sorted(parts))
    ),
)


@given(limits, limits)
def test_what_is_written_is_read_back_and_the_rest_stays(one: DiskLimits, two: DiskLimits) -> None:
    for line in (write(PLAIN, one), write(write(PLAIN, two), one)):
        assert read(line) == one
        assert write(line, one) == line
        assert set(PLAIN.split(",")) <= set(line.split(","))
        assert line.startswith(VOLUME)
        assert write(line, UNLIMITED) == PLAIN


@pytest.mark.parametrize("other", OTHERS)
def test_every_other_limit_is_seen_and_gives_way_to_limits_of_our_own(other: str) -> None:
    line = f"{VOLUME},{other},size=10G"
    assert read(line) == DiskLimits(other=other)
    assert write(line, DiskLimits(iops_read=5)) == f"{VOLUME},size=10G,iops_rd=5"


def test_the_order_in_which_proxmox_shows_limits_is_no_difference() -> None:
    shown = f"{VOLUME},iops_rd=2000,iops_wr=1000,mbps_rd=200,mbps_wr=12.5,size=10G"
    wanted = DiskLimits(200, 12.5, 2000, 1000)
    assert read(shown) == wanted
    assert write(shown, wanted) == shown


def test_a_limit_that_is_no_number_is_none_and_is_written_anew() -> None:
    for odd in ("inf", "nan", "-", "1e999"):
        line = f"{VOLUME},mbps_rd={odd},iops_rd={odd}"
        assert read(line) == UNLIMITED


def test_keys_that_only_look_like_limits_stay() -> None:
    line = f"{VOLUME},werror=stop,serial=iops_rd,size=10G"
    assert write(line, DiskLimits(iops_read=5)) == f"{line},iops_rd=5"


def test_every_limit_of_the_official_schema_is_known() -> None:
    parts = _parts(dict(pve_schema.paths()))
    limiting = {name for name in parts if name.split("_")[0].endswith("ps")}
    assert limiting >= {"mbps_rd", "iops_wr", "bps_max_length"}
    for name in limiting:
        assert read(f"{VOLUME},{name}=3") != UNLIMITED, name


def _parts(tree: object) -> set[str]:
    """Return the parts of a disk's line (`scsi[n]` of a guest's configuration)."""
    if isinstance(tree, list):
        return set().union(*map(_parts, tree))
    if not isinstance(tree, dict):
        return set()
    found = tree.get("scsi[n]")
    told = found.get("format") if isinstance(found, dict) else None
    here = set(told) if isinstance(told, dict) else set()
    return here.union(*(_parts(each) for each in tree.values()))
