"""Every call about containers that the simulated API answers.

There is no exec and no agent: nobody gets into a container through the API.
"""

from provisioner.simulator.configrules import DESCRIPTION
from provisioner.simulator.disks import SIZE_PATTERN
from provisioner.simulator.endpoint import Route, Rules
from provisioner.simulator.lxc import clone, config, create, disks, power
from provisioner.simulator.lxc.rules import (
    ANY_CONFIG_PRIVILEGE,
    CHANGE_RULES,
    CONFIG_RULES,
    CREATE_RULES,
    MOUNT_POINTS,
)
from provisioner.simulator.params import COUNT, FLAG, TEXT, VMID, Kind, Rule

LIST = "/nodes/{node}/lxc"
CT = f"{LIST}/{{vmid}}"
STATUS = f"{CT}/status"
VM = "/vms/{vmid}"
AUDIT, POWER = (VM, "VM.Audit"), (VM, "VM.PowerMgmt")
SKIPLOCK: Rules = {"skiplock": FLAG}
SHUTDOWN: Rules = {"timeout": COUNT, "forceStop": FLAG}
DESTROY: Rules = {"purge": FLAG, "force": FLAG, "destroy-unreferenced-disks": FLAG}
RESIZE: Rules = {
    "disk": Rule(required=True, words=MOUNT_POINTS),
    "size": Rule(required=True, pattern=SIZE_PATTERN),
    "digest": Rule(longest=40),
}
CLONE: Rules = {
    "newid": Rule(Kind.INTEGER, required=True, check=VMID.check),
    "hostname": CONFIG_RULES["hostname"],
    "description": DESCRIPTION,
    "pool": TEXT,
    "full": FLAG,
    "storage": TEXT,
    "target": TEXT,
    "bwlimit": COUNT,
}

CONTAINER_ROUTES = (
    Route("GET", LIST, config.list_containers, {}, None, lists=True),
    Route("POST", LIST, create.create, CREATE_RULES, None),
    Route("DELETE", CT, disks.destroy, DESTROY, (VM, "VM.Allocate")),
    Route("GET", f"{CT}/config", config.read_config, {"current": FLAG}, AUDIT),
    Route("PUT", f"{CT}/config", config.put_config, CHANGE_RULES, (VM, ANY_CONFIG_PRIVILEGE)),
    Route("GET", f"{CT}/pending", config.read_pending, {}, AUDIT),
    Route("GET", f"{CT}/interfaces", power.interfaces, {}, AUDIT),
    Route("POST", f"{CT}/clone", clone.clone, CLONE, (VM, "VM.Clone")),
    Route("PUT", f"{CT}/resize", disks.resize, RESIZE, (VM, "VM.Config.Disk")),
    Route("POST", f"{CT}/template", disks.template, {}, (VM, "VM.Allocate")),
    Route("GET", f"{STATUS}/current", power.current, {}, AUDIT),
    Route("POST", f"{STATUS}/start", power.start, SKIPLOCK, POWER),
    Route("POST", f"{STATUS}/stop", power.stop, SKIPLOCK | {"overrule-shutdown": FLAG}, POWER),
    Route("POST", f"{STATUS}/shutdown", power.shutdown, SHUTDOWN, POWER),
    Route("POST", f"{STATUS}/reboot", power.reboot, {"timeout": COUNT}, POWER),
    Route("POST", f"{STATUS}/suspend", power.suspend, {}, POWER),
)
