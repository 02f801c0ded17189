"""A simulated cluster with a template, at the end of a short line: `ask` and `told`."""

from collections.abc import Mapping

from provisioner.backends.proxmox.api import JsonValue, ParamValue
from provisioner.simulator.cluster import Cluster
from provisioner.simulator.direct import as_text
from provisioner.simulator.settings import Settings
from provisioner.simulator.wire import ApiRequest, ApiResponse

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 a@b"
OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGUqUbTIbRpcKnFGfLXhGzpjqOXQWoZVvGgXoFmPJkzr c@d"
QEMU = "/nodes/pve/qemu"


class Console:
    """Somebody with a token at the simulated cluster."""

    def __init__(self, settings: Settings | None = None, seed: int = 0) -> None:
        self.cluster = Cluster(settings, seed)
        self.cluster.add_template(9000)
        self.token = self.cluster.default_token()

    def request(self, method: str, path: str, **params: ParamValue) -> ApiRequest:
        """Return a request; `_` in a parameter's name stands for a dash."""
        given = {name.replace("_", "-"): as_text(value) for name, value in params.items()}
        return ApiRequest(method, path, given, self.token)

    def ask(self, method: str, path: str, **params: ParamValue) -> ApiResponse:
        """Call, letting time pass for as long as the answer takes."""
        return self.cluster.handle(self.request(method, path, **params))

    def data(self, method: str, path: str, **params: ParamValue) -> JsonValue:
        """Call and return the data of an answer that has to be good."""
        response = self.ask(method, path, **params)
        assert response.status == 200, (method, path, response)
        return response.data

    def read(self, path: str, **params: ParamValue) -> dict[str, JsonValue]:
        """Return an object."""
        data = self.data("GET", path, **params)
        assert isinstance(data, dict)
        return data

    def rows(self, path: str, **params: ParamValue) -> list[Mapping[str, JsonValue]]:
        """Return a list of objects."""
        data = self.data("GET", path, **params)
        assert isinstance(data, list)
        return [row for row in data if isinstance(row, dict)]

    def task(self, method: str, path: str, **params: ParamValue) -> str | None:
        """Start a task, let it end, and return its exit status."""
        return self.ended(self.data(method, path, **params))

    def ended(self, upid: JsonValue) -> str | None:
        """Let every task end and return the exit status of `upid`; None if it still runs."""
        self.cluster.settle()
        return self.cluster.state.tasks[str(upid)].status

    def clone(self, newid: int = 218, **params: ParamValue) -> str | None:
        """Clone the template and return the exit status."""
        return self.task("POST", f"{QEMU}/9000/clone", newid=newid, **params)

    def resource(self, vmid: int) -> Mapping[str, JsonValue] | None:
        """Return a guest's entry in cluster/resources."""
        found = [r for r in self.rows("/cluster/resources", type="vm") if r["vmid"] == vmid]
        return found[0] if found else None
