"""The keys that say with which key the daemon sends transactions of its own, and at what price.

One key signs on all chains, unless a chain has its own. Keys are opened when the file is read, so
that a wrong password is said before anything starts.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Self, TypeAlias

from pydantic import AfterValidator, Field, PlainValidator, PrivateAttr, model_validator

from chainwatch.config.table import Problems, Table
from chainwatch.config.values import not_empty, secret_file, sender_key
from chainwatch.credentials import Secret

#: How a field names a file with a secret in it, of which it becomes the secret.
_SecretFile: TypeAlias = Annotated[Secret, PlainValidator(secret_file)]
_KeyFile: TypeAlias = Annotated[Secret, PlainValidator(sender_key)]


@dataclass(frozen=True, slots=True)
class SenderChainConfig:
    """A chain to send on: wei for a unit of gas at most, and the balance (wei) worth an alarm.

    `key` (32 bytes) is its own, None where it has the common one.
    """

    chain_id: int
    ceiling: int
    least_balance: int
    key: Secret | None = None


@dataclass(frozen=True, slots=True)
class SenderConfig:
    """The common hot key (32 bytes), and the chains that are sent on; not all may need it."""

    key: Secret | None
    chains: tuple[SenderChainConfig, ...]

    def key_of(self, chain: SenderChainConfig) -> Secret:
        """Return the key that signs on a chain: its own, or the common one."""
        key = chain.key or self.key
        if key is None:
            raise ValueError(f"chain {chain.chain_id} has no key")
        return key


@dataclass(frozen=True, slots=True)
class _Written:
    """What a table says of a key: a keystore with its password, or a bare one, or nothing."""

    keystore: Secret | None
    password: Secret | None
    bare: Secret | None

    def __bool__(self) -> bool:
        return any(each is not None for each in (self.keystore, self.password, self.bare))

    def problems(self) -> list[tuple[str, str]]:
        if self.bare is not None:
            text = "does not go with key_file; write one of them"
            written = {"keystore_file": self.keystore, "password_file": self.password}
            return [(key, text) for key, value in written.items() if value is not None]
        if self.keystore is None:
            return [("keystore_file", "is missing; write it with password_file, or write key_file")]
        if self.password is None:
            return [("password_file", "is missing, and the keystore does not open without it")]
        return []

    def opened(self) -> Secret:
        """Return the key. Raises Problems where there is none, or it does not open."""
        from chainwatch.chain.sender.keys import opened  # costs time, which only who sends must pay

        if found := self.problems():
            raise Problems(found)
        if self.bare is not None:
            return self.bare
        if self.keystore is None or self.password is None:
            raise ValueError("has no key")
        try:
            return Secret(opened(self.keystore.reveal(), self.password.reveal()))
        except ValueError as error:
            raise Problems([("keystore_file", str(error))]) from None


class SenderChain(Table):
    """A chain that transactions are sent on."""

    chain_id: int = Field(gt=0, description="The chain's EIP-155 id.", examples=[8453])
    most_fee_gwei: float = Field(
        gt=0,
        description="Most that is ever offered for a unit of gas, in gwei (10⁻⁹ of the chain's "
        "coin). While the chain asks more than half of it nothing new is sent, and an alarm and "
        "`status` say so; the rest is for replacing what gets stuck.",
        examples=[5.0],
    )
    least_balance: float = Field(
        default=0.01,
        ge=0,
        description="Balance of the key's account, in the chain's coin, below which an alarm is "
        "raised.",
        examples=[0.01],
    )
    keystore_file: _SecretFile | None = Field(
        default=None,
        description="Encrypted keystore of a key for this chain alone, with `password_file`; "
        "without one the key of `[sender]` is used. Not needed where systemd provides the "
        "credential `sender-keystore-CHAIN_ID`.",
        examples=["/etc/chainwatch/credentials/sender-keystore-8453"],
    )
    password_file: _SecretFile | None = Field(
        default=None,
        description="File with that keystore's password. Not needed where systemd provides the "
        "credential `sender-password-CHAIN_ID`.",
        examples=["/etc/chainwatch/credentials/sender-password-8453"],
    )
    key_file: _KeyFile | None = Field(
        default=None,
        description="Instead of a keystore: file with the private key for this chain alone. Not "
        "needed where systemd provides the credential `sender-key-CHAIN_ID`.",
        examples=["/etc/chainwatch/credentials/sender-key-8453"],
    )

    _key: Secret | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _opens(self) -> Self:
        if written := _Written(self.keystore_file, self.password_file, self.key_file):
            self._key = written.opened()
        return self

    @property
    def has_key(self) -> bool:
        """Whether it has a key of its own."""
        return self._key is not None

    def settled(self) -> SenderChainConfig:
        """Return what these keys amount to."""
        return SenderChainConfig(
            self.chain_id,
            ceiling=int(Decimal(str(self.most_fee_gwei)) * 10**9),
            least_balance=int(Decimal(str(self.least_balance)) * 10**18),
            key=self._key,
        )


class Sender(Table):
    """The hot keys that deliver leases: provisioners at the contracts, and nothing else."""

    keystore_file: _SecretFile | None = Field(
        default=None,
        description="Encrypted keystore of the hot key (web3 secret storage, version 3), as "
        "wallets and `geth account new` write it. Not needed where systemd provides the credential "
        "`sender-keystore`.",
        examples=["/etc/chainwatch/credentials/sender-keystore"],
    )
    password_file: _SecretFile | None = Field(
        default=None,
        description="File with the keystore's password. Not needed where systemd provides the "
        "credential `sender-password`.",
        examples=["/etc/chainwatch/credentials/sender-password"],
    )
    key_file: _KeyFile | None = Field(
        default=None,
        description="Instead of a keystore: file with the private key itself, 64 hexadecimal "
        "digits. Not needed where systemd provides the credential `sender-key`, which it can keep "
        "encrypted.",
        examples=["/etc/chainwatch/credentials/sender-key"],
    )
    chains: Annotated[tuple[SenderChain, ...], AfterValidator(not_empty)]

    _key: Secret | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _every_chain_has_a_key(self) -> Self:
        if len({table.chain_id for table in self.chains}) < len(self.chains):
            raise Problems([("chains", "names a chain twice; write each once")])
        written = _Written(self.keystore_file, self.password_file, self.key_file)
        if written or not all(table.has_key for table in self.chains):
            self._key = written.opened()
        return self

    def settled(self) -> SenderConfig:
        """Return what these keys amount to."""
        return SenderConfig(self._key, tuple(table.settled() for table in self.chains))
