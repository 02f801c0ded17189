"""How tokens come to lose what they may do, and how it is given back.

Each function changes the world right before a call (`Struck`) is judged and returns the remedy. The
worst loss is that of sight alone: lists are empty, and whoever believes them may still change all.
"""

from functools import partial

from provisioner.simulator.cluster import Cluster
from provisioner.simulator.faults import Struck
from provisioner.simulator.modes.mode import Happening, Remedy
from provisioner.simulator.permissions import PRIVILEGES
from provisioner.simulator.routes import TABLE
from provisioner.simulator.state import Grant


def token_gone(cluster: Cluster, _: Struck) -> Remedy:
    """Every token is taken away."""
    kept = dict(cluster.state.tokens)
    cluster.state.tokens.clear()
    return partial(cluster.state.tokens.update, kept)


def _granted(cluster: Cluster, grants: tuple[Grant, ...]) -> Remedy:
    before = {id_: (t.everything, t.grants) for id_, t in cluster.state.tokens.items()}
    for token in cluster.state.tokens.values():
        token.everything, token.grants = False, grants

    def put_back() -> None:
        for id_, (everything, held) in before.items():
            token = cluster.state.tokens[id_]
            token.everything, token.grants = everything, held

    return put_back


def acl_gone(cluster: Cluster, _: Struck) -> Remedy:
    """Tokens keep their secret and lose every privilege."""
    return _granted(cluster, ())


def sight_gone(*, of_templates: bool) -> Happening:
    """Return how tokens come to see no guest any more, or but the templates, and may change all."""

    def happens(cluster: Cluster, _: Struck) -> Remedy:
        blind = (Grant("/", frozenset(PRIVILEGES) - {"VM.Audit"}),)
        seen = [guest.vmid for guest in cluster.state.guests.values() if guest.template]
        templates = (Grant(f"/vms/{vmid}", frozenset({"VM.Audit"})) for vmid in seen)
        return _granted(cluster, blind if of_templates else (*blind, *templates))

    return happens


def privilege_gone(*more: str) -> Happening:
    """Return how tokens lose the privileges that this very call needs, or those named."""

    def happens(cluster: Cluster, struck: Struck) -> Remedy:
        lost = set(more)
        found = TABLE.find(struck.method, [part for part in struck.path.split("/") if part])
        if not more and found is not None and found[0].need is not None:
            lost |= set(found[0].need[1].split("|"))
        left = frozenset(name for name in PRIVILEGES if name not in lost)
        return _granted(cluster, (Grant("/", left),))

    return happens
