"""Looking whether everything is as the daemon needs it, touching nothing.

Each source is asked what the daemon would ask at its start, the hypervisor for a list that can be
believed, what our token may do there and what its templates are like, nodes over SSH for their
helper, plans whether their machines can be what the configuration says, the hot key's account for
its balance and roles, and the database whether its rows are what its journal says. Every finding is
said, the good ones too: silence would not tell what was looked at. Of plans only what is wrong is
said.
"""

from typing import Final

from chainwatch.control.deep_check import deep_check
from chainwatch.control.ingest import Ingest
from chainwatch.control.node_care import NodeCare
from chainwatch.control.readings import Finding
from chainwatch.control.resync import Resync
from chainwatch.control.sender_check import check_sender
from chainwatch.control.supervisor import Supervisor
from chainwatch.domain.desired import KINDS
from chainwatch.domain.lease import LeaseId
from chainwatch.errors import ChainwatchError
from chainwatch.store.database import Database
from chainwatch.store.leases import Leases
from chainwatch.store.verify import verify
from provisioner.backends.proxmox.inspection import Inspection
from provisioner.errors import NO_DISK_LIMITS, ProvisionError
from provisioner.model import Kind

#: Most differences of the database that are said one by one.
MOST: Final = 50


async def checkup(supervisor: Supervisor, db: Database, *, deep: bool) -> list[Finding]:
    """Look at sources, hypervisor, nodes, plans, hot key and database, in this order.

    `deep`: at all leases as well.
    """
    found = [await _source(ingest) for ingest in supervisor.ingests]
    found += [await _hypervisor(supervisor.resync), *await _cluster(supervisor.inspection)]
    found += await _nodes(supervisor.care)
    found += await _plans(supervisor, Leases(db))
    found += [each for sender in supervisor.senders for each in await check_sender(sender)]
    found += await _database(db)
    return found + (await deep_check(supervisor.lookouts) if deep else [])


async def _source(ingest: Ingest) -> Finding:
    subject, source = f"source {ingest.name}", ingest.status.settings.source
    try:
        await ingest.scanner.check()
    except ChainwatchError as error:
        return Finding(subject, ok=False, text=str(error))
    return Finding(
        subject, ok=True, text=f"chain {source.chain_id} has the contract {source.contract}"
    )


async def _hypervisor(resync: Resync) -> Finding:
    try:
        survey = await resync.examine()
    except ProvisionError as error:
        return Finding("hypervisor", ok=False, text=str(error))
    ours, strangers = len(survey.identities), len(survey.strangers)
    text = f"machines of ours in the range: {ours}, of others: {strangers}"
    return Finding("hypervisor", ok=True, text=text)


async def _cluster(inspection: Inspection) -> list[Finding]:
    try:
        told = await inspection.remarks()
    except ProvisionError as error:
        return [Finding("token", ok=False, text=str(error))]
    return [Finding(each.subject, each.ok, each.text, each.warning) for each in told]


async def _nodes(care: NodeCare | None) -> list[Finding]:
    """Ask the helper on every node that is reached over SSH which one it is."""
    found = []
    for node in care.duties.nodes if care else ():
        subject = f"node {node}"
        try:
            said = await care.shell.version(node) if care else ""
        except ProvisionError as error:
            found.append(Finding(subject, ok=False, text=str(error)))
        else:
            found.append(Finding(subject, ok=True, text=f"answers over SSH as {said}"))
    return found


async def _plans(supervisor: Supervisor, leases: Leases) -> list[Finding]:
    """Name the plans of which no machine can be made, because of what their table says."""
    rules, found = supervisor.worker.reconciler.policy.plans, []
    for name, status in supervisor.resync.sources.items():
        source = status.settings.source
        for plan in (await leases.plans(name)).values():
            terms = rules.of(LeaseId(source.chain_id, source.contract, 0), plan)
            if KINDS.get(plan.kind) is Kind.CONTAINER and terms.disk is not None:
                text = f"{NO_DISK_LIMITS}: take [plans.disk] out of its table, or none is made"
                found.append(Finding(f"plan {plan.id} of {name}", ok=False, text=text))
    return found


async def _database(db: Database) -> list[Finding]:
    said = await verify(db)
    if not said:
        return [Finding("database", ok=True, text="every row is what the journal says")]
    more = len(said) - MOST
    kept = [Finding("database", ok=False, text=text) for text in said[:MOST]]
    rest = [Finding("database", ok=False, text=f"and {more} more")] if more > 0 else []
    return kept + rest
