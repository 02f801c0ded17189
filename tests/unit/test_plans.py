"""Which table of the configuration speaks of a plan, and what of it cannot be."""

from pathlib import Path
from typing import Final

import pytest

from chainwatch.config import load
from chainwatch.domain.lease import LeaseId, Plan
from chainwatch.domain.plans import NO_RULES, PlanRule, PlanRules
from chainwatch.errors import Fatal
from provisioner.ranges import AddressRange
from provisioner.terms import ANY_TERMS, CLOSED, OPEN, DiskLimits, Inbound, Terms

CONTRACT: Final = "0x" + "c0" * 20
LEASE: Final = LeaseId(8453, CONTRACT, 1)
SMALL: Final = Plan(3, "small", defined=True)
HERE: Final = (8453, CONTRACT)

FILE: Final = """
[installation]
id = "berlin-1"
identity_key_file = "{folder}/key"
[[source]]
name = "base"
chain_id = 8453
contract = "{contract}"
start_block = 1
http = ["https://rpc.example.net"]
[proxmox]
url = "https://pve.example.net:8006"
token_id = "chainwatch@pve!daemon"
token_file = "{folder}/token"
nodes = ["pve1", "pve2"]
[machines]
vmid_first = 20000
vmid_last = 20199
template_vms = [9000]
nameserver = "203.0.113.1"
[machines.ipv4]
first = "203.0.113.10/24"
gateway = "203.0.113.1"
"""


def rules(*several: PlanRule) -> PlanRules:
    return PlanRules(several)


def test_a_number_goes_before_a_name_and_a_source_before_all() -> None:
    by_number = PlanRule(Terms(vlan=1), plan=3, contract=HERE)
    by_name_here = PlanRule(Terms(vlan=2), name="small", contract=HERE)
    by_name = PlanRule(Terms(vlan=3), name="small")
    assert rules(by_name, by_name_here, by_number).of(LEASE, SMALL).vlan == 1
    assert rules(by_name, by_name_here).of(LEASE, SMALL).vlan == 2
    assert rules(by_name).of(LEASE, SMALL).vlan == 3


def test_a_plan_of_another_contract_is_another_plan() -> None:
    there = PlanRule(Terms(vlan=1), plan=3, contract=(1, CONTRACT))
    assert rules(there).of(LEASE, SMALL) == ANY_TERMS
    assert rules(PlanRule(Terms(vlan=1), name="Small")).of(LEASE, SMALL) == ANY_TERMS
    assert NO_RULES.of(LEASE, SMALL) == ANY_TERMS
    assert NO_RULES.of(LEASE, None) == ANY_TERMS


def written(folder: Path, plans: str) -> Path:
    for name in ("key", "token"):
        (folder / name).write_text("s" * 32)
        (folder / name).chmod(0o600)
    path = folder / "chainwatch.toml"
    path.write_text(FILE.format(folder=folder, contract=CONTRACT) + plans)
    return path


def terms(folder: Path, plans: str) -> Terms:
    (rule,) = load(written(folder, plans), {}).plans.rules
    return rule.terms


def test_everything_that_a_plan_may_decide_is_read(tmp_path: Path) -> None:
    config = load(
        written(
            tmp_path,
            """
[[plans]]
source = "base"
plan = 3
bridge = "vmbr1"
vlan = 42
rate = 12.5
cpu_limit = 1.5
nodes = ["pve1"]
template_vms = [9100]
firewall = ["443", "22", "8000:8010", "udp/51820"]
smtp = "allowed"
disk = { mbps_read = 200, mbps_write = 12.5, iops_write = 1000 }
ipv4 = { first = "10.42.0.10/22", gateway = "10.42.0.1" }
""",
        ),
        {},
    )
    (rule,) = config.plans.rules
    assert (rule.plan, rule.contract) == (3, HERE)
    assert rule.terms == Terms(
        bridge="vmbr1",
        vlan=42,
        rate=12.5,
        cpu_limit=1.5,
        disk=DiskLimits(mbps_read=200, mbps_write=12.5, iops_write=1000),
        ipv4=AddressRange("10.42.0.10/22", "10.42.0.1"),
        nodes=frozenset({"pve1"}),
        templates=(9100,),
        inbound=Inbound(everything=False, tcp=("22", "443", "8000:8010"), udp=("51820",)),
        smtp=True,
    )
    assert config.plan_templates == (9100,)
    assert config.bridges == ("vmbr0", "vmbr1")


def test_what_a_plan_leaves_out_is_the_machines(tmp_path: Path) -> None:
    assert terms(tmp_path, '[[plans]]\nname = "small"\n') == ANY_TERMS
    assert terms(tmp_path, '[[plans]]\nname = "a"\nfirewall = "closed"\n').inbound == CLOSED
    assert terms(tmp_path, '[[plans]]\nname = "a"\nfirewall = "open"\n').inbound == OPEN


IPV4: Final = 'ipv4 = {{ first = "{}", gateway = "{}" }}\n'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("vlan = 7\n", "plans[0]: says neither or both of plan and name"),
        ("plan = 3\n", "plans[0].source: is missing"),
        ('name = "a"\nsource = "bass"\n', "plans[0].source: names no source; there are base"),
        ('name = "a"\nvlan = 4095\n', "plans[0].vlan: "),
        ('name = "a"\nvlan = 0\n', "plans[0].vlan: "),
        ('name = "a"\nnodes = ["pve3"]\n', "plans[0].nodes: names pve3"),
        ('name = "a"\ntemplate_vms = [20001]\n', "plans[0].template_vms: names a VMID"),
        ('name = "a"\nfirewall = "shut"\n', 'plans[0].firewall: is neither "open" nor "closed"'),
        ('name = "a"\nfirewall = ["tcp"]\n', "plans[0].firewall: has an entry that is no port"),
        ('name = "a"\nfirewall = ["70000"]\n', "plans[0].firewall: has an entry that is no port"),
        ('name = "a"\nfirewall = ["9:8"]\n', "plans[0].firewall: has an entry that is no port"),
        (
            f'name = "a"\nfirewall = {[str(port) for port in range(1, 17)]}\n',
            "plans[0].firewall: has more than 15 numbers for tcp",
        ),
        ('name = "a"\ndisk = {}\n', "plans[0].disk: limits nothing; write a limit"),
        ('name = "a"\ndisk = { iops_read = 0 }\n', "plans[0].disk.iops_read: "),
        ('name = "a"\ndisk = { mbps_write = 20000 }\n', "plans[0].disk.mbps_write: "),
        ('name = "a"\ndisk = { iops_read = 1.5 }\n', "plans[0].disk.iops_read: "),
        (
            'name = "a"\n' + IPV4.format("10.0.0.10/25", "10.0.0.1"),
            "plans[0].ipv4: 10.0.0.0/25 has no room for 200 addresses",
        ),
        (
            'name = "a"\n' + IPV4.format("203.0.113.20/24", "203.0.113.1"),
            "plans[0].ipv4: overlaps machines: two machines could get one address",
        ),
        ('name = "a"\n[[plans]]\nname = "a"\n', "plans[1]: speaks of a plan that another table"),
    ],
)
def test_what_cannot_be_is_refused_with_the_key(lines: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(Fatal) as refused:
        load(written(tmp_path, f"[[plans]]\n{lines}"), {})
    assert said in str(refused.value)


def test_two_plans_may_share_a_range(tmp_path: Path) -> None:
    own = IPV4.format("10.0.0.10/24", "10.0.0.1")
    text = f'[[plans]]\nname = "a"\n{own}[[plans]]\nname = "b"\n{own}'
    assert len(load(written(tmp_path, text), {}).plans.rules) == 2
