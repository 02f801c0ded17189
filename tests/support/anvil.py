"""The real chain that tests run against: the demo's own child process, under the tests' roof."""

from chainwatch.demo.anvil import CHAIN_ID, Anvil, BlockHead, running

__all__ = ["CHAIN_ID", "Anvil", "BlockHead", "running"]
