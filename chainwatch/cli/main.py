"""`chainwatch`: every command."""

from chainwatch.cli import (
    daemon,
    hands,
    history,
    later,
    leases,
    nodes,
    orders,
    proxmox,
    simulator,
    sources,
    status,
    wishes,
)
from chainwatch.cli.program import program, run

app = program(
    "chainwatch",
    "Keeps a Proxmox VE cluster the way the lease contracts on EVM chains say it should be.",
)

for _command in (
    daemon.run,
    status.status,
    leases.leases,
    leases.show,
    hands.metrics,
    history.operations,
    history.events,
    history.orphans,
    status.alarms,
    history.audit,
    orders.hold,
    orders.release,
    orders.suspend,
    orders.unsuspend,
    orders.retry,
    wishes.cancel,
    wishes.start,
    wishes.stop,
    wishes.kill,
    wishes.reboot,
    wishes.snapshot,
    wishes.rollback,
    wishes.reinstall,
    wishes.withdraw,
    wishes.adopt,
    hands.throttle,
    hands.console,
    orders.pause,
    orders.resume_all,
    orders.survey,
    daemon.check,
    daemon.rebuild,
    simulator.simulator,
):
    app.command(_command.__name__.replace("_", "-"))(_command)
app.command("exec", context_settings=hands.AS_THEY_ARE)(hands.exec_)
app.add_typer(sources.app, name="source", help="How the chains are read, and what on a halt.")
app.add_typer(nodes.app, name="node", help="What has to be put on a node for SSH.")
app.add_typer(
    later.app, name="contract", help="The lease contract: make it, sell with it, collect."
)
app.add_typer(proxmox.app, name="proxmox", help="What the daemon needs of the cluster.")


def main() -> None:
    """Run the command line."""
    run(app)
