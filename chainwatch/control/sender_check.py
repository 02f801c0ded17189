"""Looking whether the hot key can do its work: account, balance, what it may; nothing is sent."""

from chainwatch.chain.sender.fees import coins
from chainwatch.chain.sender.gateway import View
from chainwatch.chain.sender.looks import Seen, Word
from chainwatch.chain.sender.roles import PROVISIONER, TOO_MUCH, Roles, may_mint, roles_of
from chainwatch.control.readings import Finding
from chainwatch.control.sender import Sender
from chainwatch.errors import ChainwatchError


async def check_sender(sender: Sender) -> list[Finding]:
    """Return what is found about one chain's sender."""
    subject, address = f"sender on chain {sender.chain_id}", sender.key.address
    try:
        view = await sender.gateway.account(None, None)
        found = [_balance(sender, view, subject)]
        for source, contract in sender.contracts.items():
            roles = await roles_of(sender.gateway, view, contract)
            found += _roles(f"sender of {source}", address, contract, roles)
        for source, credential in sender.credentials.items():
            seen = await may_mint(sender.gateway, view, credential)
            found.append(_minting(f"sender of {source}", address, credential, seen))
    except ChainwatchError as error:
        return [Finding(subject, ok=False, text=f"{address}: {error}")]
    return found


def _balance(sender: Sender, view: View, subject: str) -> Finding:
    text = f"{sender.key.address} has {coins(view.balance)} of the chain's coin"
    if view.balance >= sender.limits.least_balance:
        return Finding(subject, ok=True, text=text)
    least = coins(sender.limits.least_balance)
    return Finding(subject, ok=False, text=f"{text}, less than {least}: send it some")


def _roles(subject: str, address: str, contract: str, roles: Roles) -> list[Finding]:
    if roles.provisioner:
        found = [Finding(subject, ok=True, text=f"{address} has {PROVISIONER} at {contract}")]
    elif roles.provisioner is None:
        text = f"{contract} does not tell whether {address} has {PROVISIONER}"
        found = [Finding(subject, ok=True, text=text, warning=True)]
    else:
        text = (
            f"{address} does not have {PROVISIONER} at {contract}: have its admin run "
            f"`chainwatch contract role grant provisioner {address}`"
        )
        found = [Finding(subject, ok=False, text=text)]
    return found + [
        Finding(
            subject,
            ok=False,
            text=f"{address} has {name} at {contract}, with which who steals the key could "
            f"{TOO_MUCH[name]}: revoke it",
        )
        for name in roles.besides
    ]


def _minting(subject: str, address: str, credential: str, seen: Seen) -> Finding:
    if seen.word is Word.WANTED:
        return Finding(subject, ok=True, text=f"{address} may mint credentials at {credential}")
    if seen.word is Word.UNKNOWN:
        text = f"whether {address} may mint credentials at {credential}: {seen.why}"
        return Finding(subject, ok=True, text=text, warning=True)
    text = f"{address} may not mint credentials at {credential} ({seen.why}): allow it there"
    return Finding(subject, ok=False, text=text)
