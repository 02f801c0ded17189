"""Everything that the sender asks of a chain, or gives it, is a place where a crash may fall."""

import inspect
from pathlib import Path

from chainwatch.chain.sender import gateway
from chainwatch.chain.sender.gateway import Gateway
from provisioner import faultpoints


def test_every_question_of_the_gateway_has_its_points_and_no_point_is_idle() -> None:
    asked = {
        name
        for name, method in inspect.getmembers(Gateway, inspect.iscoroutinefunction)
        if not name.startswith("_")
    }
    assert {f"sender.{name}" for name in asked} == set(faultpoints.SENDING)
    source = Path(inspect.getfile(gateway)).read_text()
    for name in asked:
        assert f'@guarded("sender.{name}")\n    async def {name}(' in source
