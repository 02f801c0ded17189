"""Somebody who works on the cluster too, and puts a guest with our words where our machine was.

He may look at everything and make guests in our range, with a token of his own. He cannot give his
guest our uuid or MAC together with our words: that would be the machine itself, put back.
"""

from dataclasses import dataclass, field
from typing import Final

from provisioner.model import Kind
from provisioner.simulator.cluster import OS_TEMPLATE, Cluster
from provisioner.simulator.guests import ConfigValue, Guest
from provisioner.simulator.state import Token
from provisioner.simulator.wire import ApiRequest, ApiResponse

MALLORY: Final = "mallory@pve!other"
_PATHS: Final = {Kind.VM: "qemu", Kind.CONTAINER: "lxc"}


@dataclass
class Mallory:
    """The other one; `kept` is how his guests were when he left them."""

    cluster: Cluster
    template: int
    kept: dict[int, dict[str, ConfigValue]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        made = self.cluster.add_token(Token(MALLORY, self.cluster.state.draws.uuid()))
        self._token = f"{made.id}={made.secret}"

    def calls(self, method: str, path: str, **params: str) -> ApiResponse:
        """Call the API as himself."""
        return self.cluster.handle(ApiRequest(method, path, dict(params), self._token))

    def breaks_off(self, vmid: int) -> None:
        """Stop every task that makes a guest, and see that this one is gone."""
        for upid, task in list(self.cluster.state.tasks.items()):
            if task.status is None and task.kind in ("qmclone", "vzcreate"):
                self.calls("DELETE", f"/nodes/{task.node}/tasks/{upid}")
        self.cluster.settle()
        assert vmid not in self.cluster.state.guests

    def destroys(self, vmid: int, kind: Kind) -> None:
        """Destroy a guest that stands still, as anybody may who has the right."""
        node = self.cluster.guest(vmid).node
        self.calls("DELETE", f"/nodes/{node}/{_PATHS[kind]}/{vmid}")
        self.cluster.settle()
        assert vmid not in self.cluster.state.guests

    def takes(self, vmid: int, words: str, kind: Kind, storage: str = "local") -> Guest:
        """Make a guest of his own with these words; a container's disk lies on `storage`."""
        node = self.cluster.guest(self.template).node
        if kind is Kind.VM:
            path = f"/nodes/{node}/qemu/{self.template}/clone"
            answer = self.calls("POST", path, newid=str(vmid), description=words)
        else:
            made = {"ostemplate": f"local:vztmpl/{OS_TEMPLATE}", "rootfs": f"{storage}:4"}
            more = {"vmid": str(vmid), "description": words, "net0": "name=eth0,bridge=vmbr0"}
            answer = self.calls("POST", f"/nodes/{node}/lxc", **made, **more)
        assert answer.status == 200, answer
        self.cluster.settle()
        guest = self.cluster.guest(vmid)
        self.kept[vmid] = dict(guest.config)
        return guest

    def keeps(self, vmid: int, kind: Kind, name: str) -> None:
        """Take a snapshot of his guest."""
        path = f"/nodes/{self.cluster.guest(vmid).node}/{_PATHS[kind]}/{vmid}/snapshot"
        answer = self.calls("POST", path, snapname=name)
        assert answer.status == 200, answer
        self.cluster.settle()
        guest = self.cluster.guest(vmid)
        assert name in guest.snapshots
        self.kept[vmid] = dict(guest.config)

    def judge(self, ours: str) -> None:
        """Hold his guests against how he left them; `ours` is our token."""
        touched = self.cluster.inventory().foreign_touched.get(ours, ())
        assert not touched, f"we laid hands on {touched}"
        for vmid, config in self.kept.items():
            assert vmid in self.cluster.state.guests, f"his guest {vmid} is gone"
            assert self.cluster.guest(vmid).config == config, f"his guest {vmid} was changed"


def edited(words: str) -> str:
    """Return a description in which a digit of the signature of its stamps is another."""
    assert words.count('"sig":"') >= 1
    return words.replace('"sig":"', '"sig":"0', 1)
