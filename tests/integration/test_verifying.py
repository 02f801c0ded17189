"""Code that is not this version's is told apart, to the byte, and its sources compile to ours."""

import json
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from chainwatch import artifacts
from chainwatch.chain.rpc import RpcPool
from chainwatch.chain.wallet.chain import Chain
from chainwatch.chain.wallet.verifying import Verdict, expected, verified
from tests.support.anvil import Anvil, running
from tests.support.lease_contract import open_shop

CONTRACTS = Path(__file__).parents[2] / "contracts"
#: What a compiler puts behind the code unless it is told not to: CBOR, and its length.
METADATA = bytes.fromhex("a164736f6c6343000819") + (10).to_bytes(2)


@dataclass
class Site:
    """A lease contract, and whoever puts other code in its place."""

    anvil: Anvil
    chain: Chain
    address: str

    async def code(self, at: str) -> bytearray:
        return bytearray(await self.chain.code(at))

    async def put(self, at: str, code: bytes | bytearray) -> Verdict:
        """Put that code there, look at it, and put back what was there."""
        before = await self.chain.code(at)
        await self.anvil.rpc("anvil_setCode", at, f"0x{code.hex()}")
        verdict = await verified(self.chain, self.address, None)
        await self.anvil.rpc("anvil_setCode", at, f"0x{before.hex()}")
        return verdict


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with running() as anvil:
        shop = await open_shop(anvil)
        pool = RpcPool([anvil.url], timeout=20)
        try:
            yield Site(anvil, await Chain.reached(pool.ranked()[0], None), shop.address.lower())
        finally:
            await pool.close()


async def test_one_byte_anywhere_in_the_code_or_its_pictures_is_seen(site: Site) -> None:
    assert (await verified(site.chain, site.address, None)).wrong == ()
    for at in (site.address, expected(site.address).art_address):
        code = await site.code(at)
        for place in (0, 1, len(code) // 2, len(code) - 2, len(code) - 1):
            other = bytearray(code)
            other[place] ^= 1
            (said,) = (await site.put(at, other)).wrong
            assert f"1 of its {len(code)} bytes differ, the first is byte {place}" in said


async def test_other_pictures_than_its_own_are_named(site: Site) -> None:
    code, wanted = await site.code(site.address), expected(site.address)
    code[wanted.hole + 31] ^= 1
    other = code[wanted.hole + 12 : wanted.hole + 32].hex()
    (said,) = (await site.put(site.address, code)).wrong
    assert f"has its pictures drawn by 0x{other}, which is not" in said


async def test_code_with_a_compiler_s_metadata_is_told_with_its_version(site: Site) -> None:
    code = await site.code(site.address)
    (said,) = (await site.put(site.address, code + METADATA)).wrong
    assert f"{len(code) + 12} bytes instead of {len(code)}" in said
    assert "ends in the metadata of solc 0.8.25, and this version's carries none" in said


async def test_pictures_that_are_gone_are_seen(site: Site) -> None:
    (said,) = (await site.put(expected(site.address).art_address, b"")).wrong
    assert "it has 0 bytes instead of" in said


def test_the_input_for_a_block_explorer_compiles_to_the_committed_code_without_this_folder(
    tmp_path: Path,
) -> None:
    made = subprocess.run(
        ("node", CONTRACTS / "build.mjs", "--input", "Lease"), capture_output=True, check=True
    ).stdout
    script = """
        import { readFileSync } from "node:fs";
        const { default: solc } = await import(process.argv[1]);
        process.stdout.write(solc.compile(readFileSync(0, "utf8")));
    """
    compiler = f"file://{CONTRACTS}/node_modules/solc/index.js"
    compiled = subprocess.run(
        ("node", "--input-type=module", "-e", script, compiler),
        input=made,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    lease = artifacts.load("Lease")
    found = json.loads(compiled)["contracts"][lease.source][lease.name]
    assert f"0x{found['evm']['bytecode']['object']}" == lease.bytecode
    assert found["abi"] == lease.abi
