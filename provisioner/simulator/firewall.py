"""The firewall of a guest: options, rules, IP sets and aliases.

It lives in a file of its own that carries the VMID: it can be written while the machine is still
being cloned or does not exist at all, a clone inherits it, and a destroy removes it. A new rule
goes to position 0.
"""

import hashlib
import ipaddress
import re
from collections.abc import Callable

from provisioner.backends.proxmox.api import JsonValue
from provisioner.simulator.access import Ask
from provisioner.simulator.firewallrules import trouble, version
from provisioner.simulator.params import COUNT, FLAG, TEXT, Rule
from provisioner.simulator.state import Firewall, State
from provisioner.simulator.wire import Refused, bad_parameters

MODIFIED = "detected modified configuration - file changed by other user? Try again."


def _digest(content: object) -> str:
    empty = content in ({}, [])
    text = "" if empty else repr(content)
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _check_digest(ask: Ask, content: object) -> None:
    if "digest" in ask.params and ask.text("digest") != _digest(content):
        raise Refused(MODIFIED)


def read_options(state: State, ask: Ask) -> JsonValue:
    """GET firewall/options."""
    options = _peek(state, ask).options
    return {**options, "digest": _digest(options)}


def _peek(state: State, ask: Ask) -> Firewall:
    return state.firewalls.get(ask.vmid) or Firewall()


def write_options(state: State, ask: Ask) -> JsonValue:
    """PUT firewall/options."""
    options = state.firewall(ask.vmid).options
    _check_digest(ask, options)
    for key in re.split(r"[,;\s]+", ask.text("delete")):
        options.pop(key, None)
    for key, value in ask.params.items():
        if key not in {"digest", "delete"} and isinstance(value, str | int):
            options[key] = value
    return None


def list_rules(state: State, ask: Ask) -> JsonValue:
    """GET firewall/rules."""
    rules = _peek(state, ask).rules
    digest = _digest(rules)
    return [{**_shown(rule), "pos": pos, "digest": digest} for pos, rule in enumerate(rules)]


def _shown(rule: dict[str, str | int]) -> dict[str, str | int]:
    """Return a rule as it is read: with the version of its addresses, where it has any."""
    versions = (version(str(rule.get(key, ""))) for key in ("source", "dest"))
    known = next((each for each in versions if each is not None), None)
    return rule if known is None else {**rule, "ipversion": known}


def add_rule(state: State, ask: Ask) -> JsonValue:
    """POST firewall/rules: before all others, whatever `pos` says, and off unless it says on."""
    given = {k: v for k, v in ask.params.items() if isinstance(v, str | int)}
    if wrong := trouble(_peek(state, ask), given):
        raise bad_parameters(**wrong)
    given.pop("pos", None)
    given.pop("digest", None)
    state.firewall(ask.vmid).rules.insert(0, {"enable": 0, **given})
    return None


def _rule_at(state: State, ask: Ask) -> tuple[list[dict[str, str | int]], int]:
    rules, position = state.firewall(ask.vmid).rules, int(ask.names["pos"])
    if position >= len(rules):
        raise Refused(f"no rule at position {position}")
    return rules, position


def read_rule(state: State, ask: Ask) -> JsonValue:
    """GET firewall/rules/{pos}; it says its position as text."""
    rules, position = _rule_at(state, ask)
    return {**_shown(rules[position]), "pos": str(position), "digest": _digest(rules)}


def change_rule(state: State, ask: Ask) -> JsonValue:
    """PUT firewall/rules/{pos}: change it, or with `moveto` put it before another."""
    rules, position = _rule_at(state, ask)
    _check_digest(ask, rules)
    if "moveto" in ask.params:
        to = min(ask.number("moveto", 0), len(rules))
        rule = rules.pop(position)
        rules.insert(to - (to > position), rule)
        return None
    given = {k: v for k, v in ask.params.items() if isinstance(v, str | int)}
    rule = {**rules[position], **given}
    for key in [*re.split(r"[,;\s]+", str(rule.pop("delete", ""))), "digest", "pos"]:
        rule.pop(key, None)
    if wrong := trouble(_peek(state, ask), rule):
        raise bad_parameters(**wrong)
    rules[position] = rule
    return None


def delete_rule(state: State, ask: Ask) -> JsonValue:
    """DELETE firewall/rules/{pos}."""
    rules, position = _rule_at(state, ask)
    _check_digest(ask, rules)
    del rules[position]
    return None


def list_ipsets(state: State, ask: Ask) -> JsonValue:
    """GET firewall/ipset."""
    firewall = _peek(state, ask)
    rows: list[JsonValue] = []
    for name, members in sorted(firewall.ipsets.items()):
        row: dict[str, JsonValue] = {"name": name, "digest": _digest(members)}
        if name in firewall.ipset_comments:
            row["comment"] = firewall.ipset_comments[name]
        rows.append(row)
    return rows


def create_ipset(state: State, ask: Ask) -> JsonValue:
    """POST firewall/ipset."""
    firewall, name = state.firewall(ask.vmid), ask.text("name")
    if name in firewall.ipsets:
        raise bad_parameters(name=f"IPSet '{name}' already exists")
    firewall.ipsets[name] = {}
    if "comment" in ask.params:
        firewall.ipset_comments[name] = ask.text("comment")
    return None


def _members(state: State, ask: Ask) -> dict[str, str]:
    name = ask.names["name"]
    members = _peek(state, ask).ipsets.get(name)
    if members is None:
        raise Refused(f"no such IPSet '{name}'")
    return members


def list_members(state: State, ask: Ask) -> JsonValue:
    """GET firewall/ipset/{name}."""
    members = _members(state, ask)
    return [{"cidr": cidr, "digest": _digest(members)} for cidr in sorted(members)]


def add_member(state: State, ask: Ask) -> JsonValue:
    """POST firewall/ipset/{name}: an address or network, stored in its shortest form."""
    members, cidr = _members(state, ask), _normal(ask.text("cidr"))
    if cidr in members:
        raise bad_parameters(cidr=f"address '{cidr}' already exists")
    members[cidr] = ask.text("comment")
    return None


def _normal(text: str) -> str:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise Refused(f"no such alias '{text}'") from None
    if network.prefixlen == 0:
        raise bad_parameters(cidr="a zero prefix is not allowed in ipset entries")
    single = network.prefixlen == network.max_prefixlen
    return str(network.network_address) if single else str(network)


def delete_member(state: State, ask: Ask) -> JsonValue:
    """DELETE firewall/ipset/{name}/{cidr}; one that is not there is fine."""
    _members(state, ask).pop(_normal(ask.names["cidr"]), None)
    return None


def delete_ipset(state: State, ask: Ask) -> JsonValue:
    """DELETE firewall/ipset/{name}: an empty one, unless `force`."""
    name = ask.names["name"]
    if _members(state, ask) and not ask.flag("force"):
        raise Refused(f"IPSet '{name}' is not empty")
    firewall = state.firewall(ask.vmid)
    del firewall.ipsets[name]
    firewall.ipset_comments.pop(name, None)
    return None


def list_aliases(state: State, ask: Ask) -> JsonValue:
    """GET firewall/aliases."""
    aliases = _peek(state, ask).aliases
    return [{**alias, "digest": _digest(aliases)} for _, alias in sorted(aliases.items())]


def list_refs(state: State, ask: Ask) -> JsonValue:
    """GET firewall/refs: what a rule may name; there are no cluster-wide sets and aliases here."""
    firewall, wanted = _peek(state, ask), ask.text("type")
    named = [("ipset", name, f"+{name}") for name in sorted(firewall.ipsets)]
    named += [("alias", name, name) for name in sorted(firewall.aliases)]
    return [
        {"type": kind, "name": name, "ref": ref, "scope": "guest"}
        for kind, name, ref in named
        if wanted in {"", kind}
    ]


def create_alias(state: State, ask: Ask) -> JsonValue:
    """POST firewall/aliases."""
    name = ask.text("name")
    state.firewall(ask.vmid).aliases[name] = {"name": name, "cidr": _normal(ask.text("cidr"))}
    return None


def delete_alias(state: State, ask: Ask) -> JsonValue:
    """DELETE firewall/aliases/{name}."""
    if state.firewall(ask.vmid).aliases.pop(ask.names["name"], None) is None:
        raise Refused(f"no such alias '{ask.names['name']}'")
    return None


def read_cluster_options(state: State, _ask: Ask) -> JsonValue:
    """GET cluster/firewall/options."""
    return {**state.firewall_options, "digest": _digest(state.firewall_options)}


POLICY = Rule(words=("ACCEPT", "REJECT", "DROP"))
LEVEL = Rule(words=("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "nolog"))
FLAGS = ("dhcp", "enable", "ipfilter", "macfilter", "ndp", "radv")
OPTIONS: dict[str, Rule] = {
    **dict.fromkeys(FLAGS, FLAG),
    **dict.fromkeys(("policy_in", "policy_out"), POLICY),
    **dict.fromkeys(("log_level_in", "log_level_out"), LEVEL),
    "delete": TEXT,
    "digest": TEXT,
}


def _net(text: str) -> str | None:
    fits = re.fullmatch(r"net\d+", text)
    return None if fits else "value does not match the regex pattern 'net\\d+'"


RULE: dict[str, Rule] = {
    **dict.fromkeys(("comment", "dest", "dport", "icmp-type", "log", "macro", "proto"), TEXT),
    **dict.fromkeys(("source", "sport", "digest"), TEXT),
    **dict.fromkeys(("source", "dest"), Rule(longest=512)),
    "iface": Rule(check=_net),
    "type": Rule(required=True, words=("in", "out", "forward", "group")),
    "action": Rule(required=True),
    "enable": COUNT,
    "pos": COUNT,
}
CHANGED = RULE | {
    "type": Rule(words=RULE["type"].words),
    "action": TEXT,
    "moveto": COUNT,
    "delete": TEXT,
}
SET_NAME = Rule(required=True, pattern=re.compile(r"[A-Za-z][A-Za-z0-9\-_]+"))
IPSET: dict[str, Rule] = {"name": SET_NAME, "comment": TEXT, "digest": TEXT}
MEMBER: dict[str, Rule] = {"cidr": Rule(required=True), "comment": TEXT, "nomatch": FLAG}
DIGEST: dict[str, Rule] = {"digest": TEXT}
ALIAS: dict[str, Rule] = {"name": SET_NAME, "cidr": Rule(required=True), "comment": TEXT}
REFS: dict[str, Rule] = {"type": Rule(words=("alias", "ipset"))}
Handler = Callable[[State, Ask], JsonValue]

CALLS: tuple[tuple[str, str, Handler, dict[str, Rule]], ...] = (
    ("GET", "options", read_options, {}),
    ("PUT", "options", write_options, OPTIONS),
    ("GET", "rules", list_rules, {}),
    ("POST", "rules", add_rule, RULE),
    ("GET", "rules/{pos}", read_rule, {}),
    ("PUT", "rules/{pos}", change_rule, CHANGED),
    ("DELETE", "rules/{pos}", delete_rule, DIGEST),
    ("GET", "ipset", list_ipsets, {}),
    ("POST", "ipset", create_ipset, IPSET),
    ("GET", "ipset/{name}", list_members, {}),
    ("POST", "ipset/{name}", add_member, MEMBER),
    ("DELETE", "ipset/{name}", delete_ipset, {"force": FLAG}),
    ("DELETE", "ipset/{name}/{cidr}", delete_member, DIGEST),
    ("GET", "refs", list_refs, REFS),
    ("GET", "aliases", list_aliases, {}),
    ("POST", "aliases", create_alias, ALIAS),
    ("DELETE", "aliases/{name}", delete_alias, DIGEST),
)
