"""A guest's firewall on Proxmox: read in one comparable form, and made exactly another one.

Wanted rules are put in front of others before those are taken away, and foreign addresses leave the
filter set first, so a guest that runs is never more open on the way than it was before or will be
after. Each call changes one thing at once and for good, so a crash anywhere leaves something that
the next reading sees as it is. A new rule goes to the first position, whatever `pos` says, and is
switched off unless `enable` says otherwise. Sources: the API schema of 8.4 and 9.1, and what an
8.4.21 answered.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from provisioner.backends.proxmox.answers import Record, record, records, text
from provisioner.backends.proxmox.api import Api, ParamValue
from provisioner.backends.proxmox.paths import guest_path
from provisioner.isolation import COMMENT, OWN_ADDRESSES, Isolation, Rule
from provisioner.model import Kind

#: What rules may name: its type in `refs`, its folder, and what deleting one takes.
_REFERABLE: Final[Mapping[str, tuple[str, Mapping[str, ParamValue] | None]]] = {
    "ipset": ("ipset", {"force": True}),
    "alias": ("aliases", None),
}
#: The keys of a rule that we read, by our names.
_PARTS: Final = {
    "way": "type",
    "action": "action",
    "proto": "proto",
    "icmp_type": "icmp-type",
    "dport": "dport",
    "source": "source",
    "dest": "dest",
    "comment": "comment",
}
#: What an answer adds to a rule that nobody wrote.
_TOLD: Final = frozenset({"pos", "digest", "ipversion", *_PARTS.values()})


@dataclass(frozen=True, slots=True)
class GuestFirewall:
    """The firewall of one guest, as one API shows it."""

    api: Api
    node: str
    vmid: int
    kind: Kind

    @property
    def path(self) -> str:
        """Where it is."""
        return f"{guest_path(self.node, self.vmid, self.kind)}/firewall"

    async def read(self) -> Isolation:
        """Read all of it."""
        options = record(await self.api.call("GET", f"{self.path}/options"), "options")
        rules = records(await self.api.call("GET", f"{self.path}/rules"), "rules")
        named = list(_named(records(await self.api.call("GET", f"{self.path}/refs"), "refs")))
        own = f"ipset/{OWN_ADDRESSES}"
        return Isolation(
            options=frozenset((key, text(options, key)) for key in options if key != "digest"),
            addresses=frozenset(await self._members()) if own in named else None,
            rules=tuple(map(_rule, rules)),
            leftovers=frozenset(named) - {own},
        )

    async def _members(self) -> list[str]:
        path = f"{self.path}/ipset/{OWN_ADDRESSES}"
        rows = records(await self.api.call("GET", path), "addresses")
        return [("!" if text(row, "nomatch") == "1" else "") + text(row, "cidr") for row in rows]

    async def make(self, wanted: Isolation, base: Isolation | None) -> None:
        """Make it `wanted`; `base` is trusted where nothing of it has to be taken away."""
        have = base if base is not None and not _takes_away(base, wanted) else await self.read()
        await self._own(have.addresses, wanted.addresses or frozenset())
        await self._rules(have.rules, wanted.rules)
        await self._options(dict(have.options), dict(wanted.options))
        for leftover in sorted(have.leftovers - wanted.leftovers):
            await self._delete(leftover)

    async def _own(self, have: frozenset[str] | None, wanted: frozenset[str]) -> None:
        if have is None:
            params = {"name": OWN_ADDRESSES, "comment": COMMENT}
            await self.api.call("POST", f"{self.path}/ipset", params)
        members = f"{self.path}/ipset/{OWN_ADDRESSES}"
        foreign = (have or frozenset()) - wanted
        for address in sorted(each.removeprefix("!") for each in foreign):
            await self.api.call("DELETE", f"{members}/{quote(address, safe='')}")
        for address in sorted(wanted - (have or frozenset())):
            await self.api.call("POST", members, {"cidr": address})

    async def _rules(self, have: Sequence[Rule], wanted: Sequence[Rule]) -> None:
        kept = _shared_end(have, wanted)
        new = wanted[: len(wanted) - kept]
        for rule in reversed(new):
            await self.api.call("POST", f"{self.path}/rules", _params(rule))
        first, old = len(new), len(have) - kept
        for position in reversed(range(first, first + old)):
            await self.api.call("DELETE", f"{self.path}/rules/{position}")

    async def _options(self, have: Mapping[str, str], wanted: Mapping[str, str]) -> None:
        params: dict[str, ParamValue] = {
            key: value for key, value in sorted(wanted.items()) if have.get(key) != value
        }
        if foreign := sorted(have.keys() - wanted.keys()):
            params["delete"] = ",".join(foreign)
        if params:
            await self.api.call("PUT", f"{self.path}/options", params)

    async def _delete(self, leftover: str) -> None:
        folder = leftover.partition("/")[0]
        params = next(each for name, each in _REFERABLE.values() if name == folder)
        await self.api.call("DELETE", f"{self.path}/{leftover}", params)


def as_file(wanted: Isolation) -> str:
    """Return a guest's firewall as the file `/etc/pve/firewall/VMID.fw` has it."""
    lines = ["[OPTIONS]", "", *(f"{key}: {value}" for key, value in sorted(wanted.options))]
    lines += ["", f"[IPSET {OWN_ADDRESSES}] # {COMMENT}", "", *sorted(wanted.addresses or ())]
    lines += ["", "[RULES]", "", *map(_line, wanted.rules)]
    return "\n".join(lines) + "\n"


def _line(rule: Rule) -> str:
    parts = (
        ("-source", rule.source),
        ("-dest", rule.dest),
        ("-p", rule.proto),
        ("-dport", rule.dport),
        ("-icmp-type", rule.icmp_type),
    )
    told = (f" {name} {value}" for name, value in parts if value)
    return f"{rule.way.upper()} {rule.action}{''.join(told)} # {rule.comment}"


def _named(refs: Sequence[Record]) -> Iterator[str]:
    """Yield the guest's own sets and aliases; the cluster's have another scope than `guest`."""
    for row in refs:
        if text(row, "type") in _REFERABLE and text(row, "scope") == "guest":
            yield f"{_REFERABLE[text(row, 'type')][0]}/{text(row, 'name')}"


def _rule(row: Record) -> Rule:
    other = {key: text(row, key) for key in row if key not in _TOLD and key != "enable"}
    if text(row, "enable", "0") != "1":
        other["enable"] = "0"
    parts = {name: text(row, key) for name, key in _PARTS.items()}
    return Rule(**parts, other=tuple(sorted(other.items())))


def _params(rule: Rule) -> dict[str, ParamValue]:
    params: dict[str, ParamValue] = {
        key: value for name, key in _PARTS.items() if (value := str(getattr(rule, name)))
    }
    return params | {"enable": 1}


def _shared_end(one: Sequence[Rule], other: Sequence[Rule]) -> int:
    """Count the rules at the end that are the same in both."""
    count = 0
    for here, there in zip(reversed(one), reversed(other), strict=False):
        if here != there:
            break
        count += 1
    return count


def _takes_away(base: Isolation, wanted: Isolation) -> bool:
    """Say whether anything of `base` has to go: what that is has to be seen first."""
    gone = (base.addresses or frozenset()) - (wanted.addresses or frozenset())
    keys = dict(base.options).keys() - dict(wanted.options).keys()
    rules = len(base.rules) - _shared_end(base.rules, wanted.rules)
    return bool(gone or keys or rules or base.leftovers - wanted.leftovers)
