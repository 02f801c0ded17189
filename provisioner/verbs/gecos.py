"""Write whose account it is into the guest, where the wallet login looks: `wallet=…,nft=…`.

The guest first, its card second: what the card says about an owner is then true inside too. Every
part is checked before, and goes to `usermod` as one word; an account that cloud-init has not made
yet is waited for.
"""

from dataclasses import replace
from typing import Final

from provisioner.census import Found
from provisioner.driver import PASSING
from provisioner.errors import Declined, Permanent, Transient
from provisioner.model import PowerState
from provisioner.verbs.cards import write_card
from provisioner.verbs.order import Gecos
from provisioner.workshop import Workshop

#: Seconds that the command may take, and the exit code of one that does not know the account.
SECONDS: Final = 20
NO_SUCH_USER: Final = 6


async def write_gecos(shop: Workshop, name: str, gecos: Gecos) -> None:
    """Write it, wait for the account if need be, and note the owner on the machine's card."""
    found = await shop.existing(name)
    while True:
        try:
            await _usermod(shop, found, gecos)
            break
        except PASSING as error:
            power = await shop.hypervisor.power(found.node, found.vmid, kind=found.kind)
            if power.state is not PowerState.RUNNING:
                raise Declined(
                    f"{name} does not run, so nothing can be written into it: start it first"
                ) from error
            await shop.patience.outlast(error)
    await write_card(
        shop,
        name,
        lambda card: replace(card, owner=gecos.wallet, nft=gecos.nft),
    )


async def _usermod(shop: Workshop, found: Found, gecos: Gecos) -> None:
    vmid = found.vmid
    ended = await shop.into(found).run(
        found.node, vmid, ("usermod", "-c", gecos.text, "--", gecos.user), SECONDS
    )
    if ended.code == NO_SUCH_USER:
        raise Transient(f"guest {vmid} has no account {gecos.user} yet")
    if ended.code != 0:
        raise Permanent(
            f"guest {vmid}: usermod ended with exit code {ended.code}: look whether the account is "
            "there"
        )
