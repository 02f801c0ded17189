"""The words in which the model of our contract says its events: eth_abi over signatures."""

from eth_abi.abi import encode
from web3 import Web3

from chainwatch.domain.events import (
    ActionRequested,
    ConnectionPublished,
    CredentialLinked,
    CredentialMoved,
    Delivered,
    Event,
    ExpiryUpdated,
    KeysChanged,
    LeaseMinted,
    PlanChanged,
    PlanDefined,
    PlanEvent,
    PlanTerms,
    Subscribed,
    Transferred,
    UpgradeUpdated,
)

_SIGNATURES: dict[type, str] = {
    Transferred: "Transfer(address,address,uint256)",
    LeaseMinted: "LeaseMinted(uint256,uint256,address,uint256,uint256)",
    ExpiryUpdated: "SubscriptionUpdate(uint256,uint64)",
    KeysChanged: "KeysChanged(uint256,string,bytes)",
    Delivered: "LeaseDelivered(uint256,uint64)",
    PlanChanged: "PlanChanged(uint256,uint256)",
    ActionRequested: "ActionRequested(uint256,uint8,bytes)",
    ConnectionPublished: "ConnectionPublished(uint256,bytes)",
    UpgradeUpdated: "UpgradeUpdate(uint256,uint256,uint64,uint256)",
    PlanDefined: "PlanDefined(uint256,string,uint8,uint32,uint32,uint32,uint64)",
    PlanTerms: "PlanTerms(uint256,address,uint256,uint32,bool)",
}


def word(value: int | str) -> str:
    """A number, or an address, as a word of 32 bytes."""
    number = int(value, 16) if isinstance(value, str) else value
    return f"0x{number:064x}"


def _hex(types: list[str], values: list[object]) -> str:
    return "0x" + encode(types, values).hex()


def words_of(event: Event) -> tuple[tuple[str, ...], str]:
    """An event's topics and data, as the contract would emit them."""
    topic = "0x" + bytes(Web3.keccak(text=_SIGNATURES.get(type(event), ""))).hex()
    match event:
        case Transferred(token, sender, recipient):
            return (topic, word(sender), word(recipient), word(token)), "0x"
        case LeaseMinted(token, plan, payer, bought, paid):
            topics = (topic, word(token), word(plan), word(payer))
            return topics, _hex(["uint256", "uint256"], [bought, paid])
        case ExpiryUpdated(token, expires_at):
            return (topic, word(token)), _hex(["uint64"], [expires_at])
        case KeysChanged(token, ssh, key):
            data = _hex(["string", "bytes"], [ssh, bytes.fromhex(key.removeprefix("0x"))])
            return (topic, word(token)), data
        case PlanDefined() | PlanTerms():
            return _encoded_plan(topic, event)
        case Delivered() | ConnectionPublished() | UpgradeUpdated():
            return _encoded_dealing(topic, event)
        case PlanChanged() | ActionRequested():
            return _encoded_later(topic, event)
        case Subscribed() | CredentialLinked() | CredentialMoved():
            raise ValueError(f"our contract does not say {event}")


def _encoded_plan(topic: str, event: PlanEvent) -> tuple[tuple[str, ...], str]:
    match event:
        case PlanDefined(plan, name, kind, cores, memory, disk, grace):
            types = ["string", "uint8", "uint32", "uint32", "uint32", "uint64"]
            return (topic, word(plan)), _hex(types, [name, kind, cores, memory, disk, grace])
        case PlanTerms(plan, payment_token, price, cap, on_sale):
            types = ["address", "uint256", "uint32", "bool"]
            return (topic, word(plan)), _hex(types, [payment_token, price, cap, on_sale])


def _encoded_later(topic: str, event: PlanChanged | ActionRequested) -> tuple[tuple[str, ...], str]:
    """What is said of a lease only after its purchase."""
    match event:
        case PlanChanged(token, plan):
            return (topic, word(token), word(plan)), "0x"
        case ActionRequested(token, kind, said):
            data = _hex(["bytes"], [bytes.fromhex(said.removeprefix("0x"))])
            return (topic, word(token), word(kind)), data


def _encoded_dealing(
    topic: str, event: Delivered | ConnectionPublished | UpgradeUpdated
) -> tuple[tuple[str, ...], str]:
    """What is said because of what the daemon did, or is to do."""
    match event:
        case Delivered(token, delivered_at):
            return (topic, word(token)), _hex(["uint64"], [delivered_at])
        case ConnectionPublished(token, blob):
            return (topic, word(token)), _hex(["bytes"], [bytes.fromhex(blob[2:])])
        case UpgradeUpdated(token, plan, deadline):
            types = ["uint256", "uint64", "uint256"]
            return (topic, word(token)), _hex(types, [plan, deadline, 0])
