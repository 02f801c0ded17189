"""What is signed for a token instead of being sent to it: a permit, or an authorization.

Law: nothing is signed but what the token itself says that it would take. Its domain is taken from
what it says of itself and held against its own separator, and where it says what type of message it
takes, that has to be ours. So a token with a permit of another form is paid by an approval, and a
signature is good for one token on one chain and for nothing else.
"""

from dataclasses import dataclass
from typing import Any, Final

from chainwatch.chain.ethereum import encode_typed_data, keccak
from chainwatch.chain.wallet.chain import Answer, Chain, Question
from chainwatch.chain.wallet.interface import Function, function
from chainwatch.errors import OperatorError

_NAME: Final = function("name()", "string")
_VERSION: Final = function("version()", "string")
_SEPARATOR: Final = function("DOMAIN_SEPARATOR()", "bytes32")
_NONCES: Final = function("nonces(address)", "uint256")
_USED: Final = function("authorizationState(address,bytes32)", "bool")
#: ERC-5267: which words the domain has, and what they are.
_DOMAIN_SAID: Final = function(
    "eip712Domain()",
    *("bytes1", "string", "string", "uint256", "address", "bytes32", "uint256[]"),
)
_ALL_FOUR: Final = b"\x0f"
_DOMAIN: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
)
_EMPTY: Final = {"address": f"0x{0:040x}", "uint256": 0, "bytes32": bytes(32)}


@dataclass(frozen=True, slots=True)
class Form:
    """A type of message, its words in their order, and the view that tells the type's hash."""

    name: str
    words: tuple[tuple[str, str], ...]
    hash_said: Function

    @property
    def hash(self) -> bytes:
        listed = ",".join(f"{kind} {word}" for word, kind in self.words)
        return keccak(f"{self.name}({listed})".encode())


PERMIT: Final = Form(
    "Permit",
    (
        ("owner", "address"),
        ("spender", "address"),
        ("value", "uint256"),
        ("nonce", "uint256"),
        ("deadline", "uint256"),
    ),
    function("PERMIT_TYPEHASH()", "bytes32"),
)
AUTHORIZATION: Final = Form(
    "ReceiveWithAuthorization",
    (
        ("from", "address"),
        ("to", "address"),
        ("value", "uint256"),
        ("validAfter", "uint256"),
        ("validBefore", "uint256"),
        ("nonce", "bytes32"),
    ),
    function("RECEIVE_WITH_AUTHORIZATION_TYPEHASH()", "bytes32"),
)


@dataclass(frozen=True, slots=True)
class Signable:
    """What a token takes: its domain, and whether permits, authorizations, or neither."""

    domain: dict[str, object] | None
    nonce: int | None
    authorizations: bool

    @property
    def permits(self) -> bool:
        return self.nonce is not None

    def message(self, form: Form, words: dict[str, object]) -> dict[str, Any]:
        """A message of that form, as EIP-712 writes it."""
        if self.domain is None:
            raise OperatorError("the token's domain is not known: --pay approve")
        return _message(self.domain, form, words)


async def signable(chain: Chain, token: str, payer: str) -> Signable:
    """Ask a token what it takes, all at once."""
    asked = (
        *((_SEPARATOR, ()), (_NAME, ()), (_VERSION, ()), (_DOMAIN_SAID, ())),
        *((_NONCES, (payer,)), (PERMIT.hash_said, ())),
        *((_USED, (payer, bytes(32))), (AUTHORIZATION.hash_said, ())),
    )
    separator, name, version, said, nonce, permit, used, authorization = await chain.views(
        [Question(token, view, arguments) for view, arguments in asked]
    )
    domain = _domain(chain.chain_id, token, separator, (name, version, said))
    if domain is None:
        return Signable(None, None, authorizations=False)
    counted = _value(nonce) if _fits(permit, PERMIT) else None
    known = not isinstance(used, OperatorError) and _fits(authorization, AUTHORIZATION)
    return Signable(domain, counted if isinstance(counted, int) else None, known)


def _domain(
    chain_id: int, token: str, separator: Answer, said: tuple[Answer, Answer, Answer]
) -> dict[str, object] | None:
    """The domain that a token means; None where it says none, or another than it has."""
    name, version, whole = said
    candidates = [(_value(name), each) for each in (_value(version), "1")]
    if not isinstance(whole, OperatorError) and whole[0] == _ALL_FOUR:
        if (whole[3], str(whole[4]).lower()) != (chain_id, token):
            return None
        candidates = [(whole[1], whole[2])]
    for called, numbered in candidates:
        if not isinstance(called, str) or not isinstance(numbered, str):
            continue
        domain: dict[str, object] = {
            "name": called,
            "version": numbered,
            "chainId": chain_id,
            "verifyingContract": token,
        }
        if _separator_of(domain) == _value(separator):
            return domain
        if isinstance(separator, OperatorError) and not isinstance(whole, OperatorError):
            return domain  # what ERC-5267 says is all there is
    return None


def _separator_of(domain: dict[str, object]) -> bytes:
    empty: dict[str, object] = {word: _EMPTY[kind] for word, kind in PERMIT.words}
    return bytes(encode_typed_data(full_message=_message(domain, PERMIT, empty)).header)


def _fits(said: Answer, form: Form) -> bool:
    """Whether a token takes our form of a message, as far as it says which."""
    return isinstance(said, OperatorError) or said[0] == form.hash


def _value(answer: Answer) -> object:
    return None if isinstance(answer, OperatorError) else answer[0]


def _message(domain: dict[str, object], form: Form, words: dict[str, object]) -> dict[str, Any]:
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
            form.name: [{"name": name, "type": kind} for name, kind in form.words],
        },
        "primaryType": form.name,
        "domain": domain,
        "message": words,
    }
