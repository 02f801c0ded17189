"""A real lease contract for tests: the demo's own buyers, under the tests' roof."""

from chainwatch.demo.buyer import NATIVE, LeaseContract, PlanOffer, issue_token, open_shop, purchase
from chainwatch.demo.deployed import Deployed, Receipt, Reverted, Said

__all__ = [
    "NATIVE",
    "Deployed",
    "LeaseContract",
    "PlanOffer",
    "Receipt",
    "Reverted",
    "Said",
    "issue_token",
    "open_shop",
    "purchase",
]
