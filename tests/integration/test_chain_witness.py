"""Two real endpoints of one chain: what is stored is held against the second before it is final."""

from pathlib import Path

from chainwatch.domain.events import KeysChanged
from tests.support.faultproxy import proxy
from tests.support.faults import http_status
from tests.support.reader import Reader, kinds, reader, source_of
from tests.support.town import Town, founded

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILXVTDnmZnHJcxufRx5YXYJizU9Ulj8Mkwgtjc8zTUx4 alice@x"


async def a_day(town: Town) -> None:
    """All kinds of events."""
    token, _ = await town.shop.mint(1, town.alice, ssh_key=KEY, encryption_key=b"\x01\x02")
    await town.shop.renew(token, 600, town.bob)
    await town.shop.transfer(token, town.alice, town.bob)
    await town.shop.set_keys(token, town.bob, "")
    await town.shop.set_terms(1, 9, cap=4, on_sale=True)
    await town.anvil.mine(3)


async def rewinds(source: Reader) -> list[int]:
    return [each.id for each in await source.entries() if each.orphaned_at is not None]


async def test_what_was_read_block_by_block_is_what_a_second_endpoint_tells_when_it_is_final(
    tmp_path: Path,
) -> None:
    async with founded() as town:
        settings = source_of(town.shop, town.anvil.url, f"{town.anvil.url}/")
        async with reader(tmp_path, town.shop, settings) as source:
            for _ in range(3):
                await source.settle()
                await a_day(town)
            await source.settle()
            rows = await source.rows()
            assert rows == await source.truth()
            assert len(kinds(rows)) == 6
            assert await rewinds(source) == []
            assert await source.final_rows() != []
            assert source.ingest.status.alone is None


async def test_a_key_that_is_refused_is_refused_alike_when_it_is_told_again(tmp_path: Path) -> None:
    async with founded() as town:
        settings = source_of(town.shop, town.anvil.url, f"{town.anvil.url}/")
        async with reader(tmp_path, town.shop, settings) as source:
            token, _ = await town.shop.mint(1, town.alice)
            await source.settle()
            await town.shop.set_keys(token, town.alice, "no key at all")
            await town.anvil.mine()
            await source.settle()
            rows = await source.rows()
            assert rows[-1].event == KeysChanged(token, "", "")
            await town.anvil.mine(4)
            await source.settle()
            assert await source.final_rows() == rows
            assert await rewinds(source) == []


async def test_what_becomes_final_waits_for_the_second_endpoint_and_says_so(tmp_path: Path) -> None:
    async with founded() as town, proxy(town.anvil.url) as second:
        settings = source_of(town.shop, town.anvil.url, second.url)
        async with reader(tmp_path, town.shop, settings) as source:
            await source.settle()
            final = (await source.state()).final
            second.arm(http_status(500))
            for _ in range(4):
                await a_day(town)
            await source.settle(final=False)
            assert await source.rows() == await source.truth()
            assert (await source.state()).final == final
            assert "HTTP 500" in (source.ingest.status.alone or "")
            second.disarm()
            await source.settle()
            assert await source.final_rows() != []
            assert source.ingest.status.alone is None
            assert await rewinds(source) == []
