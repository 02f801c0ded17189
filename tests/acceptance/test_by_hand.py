"""A lease's machine, looked into and slowed down by hand, through a real daemon and its socket."""

import json
from pathlib import Path

import pytest

from tests.support.daemon import Grounds, installation

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(90)]
WHY = ("--reason", "a look")


async def test_an_operator_works_on_the_machine_of_a_lease(place: Grounds, folder: Path) -> None:
    async with installation(place, folder) as it:
        it.configure(admin={"console": True})
        token = str(await it.buy())
        await it.daemon.start()
        guest = await it.provisioned(int(token))

        measured = json.loads((await it.run("metrics", token, "--json"))[1])
        assert (measured["state"], measured["guest_agent_responsive"]) == ("running", True)
        assert await it.run("exec", *WHY, token, "echo", "inside") == (0, "inside\n")
        assert await it.run("exec", *WHY, token, "false") == (1, "no\n")
        code, said = await it.run("throttle", token, *WHY, "--cpu-shares", "50")
        assert (code, said) == (0, "cpu shares: 50\n")
        (now,) = await it.machines()
        assert (now.vmid, str(now.config["cpuunits"])) == (guest.vmid, "50")
        code, said = await it.run("console", token, *WHY, "--json")
        ticket = json.loads(said[said.index("{") :])["ticket"]
        assert code == 0

        _, audit = await it.run("audit", "--json")
        done = [each["what"] for each in json.loads(audit)]
        assert done == ["console", "throttle", "exec", "exec"]
        assert await it.daemon.stop() == 0
        assert ticket not in audit + it.daemon.said()
        await it.judge(machines=1)
