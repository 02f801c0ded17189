"""`chainwatch-lease`: a lease's whole life from a terminal, with a keystore and a node."""

from chainwatch.cli import buyer_looks, buyer_orders, buyer_sales
from chainwatch.cli.program import program, run

app = program("chainwatch-lease", "Buys machines that are leased on a chain, and gets into them.")

for _command in (
    buyer_looks.plans,
    buyer_sales.buy,
    buyer_sales.renew,
    buyer_looks.show,
    buyer_looks.connect,
    buyer_orders.end,
    buyer_orders.refund,
    buyer_orders.claim,
    buyer_orders.burn,
    buyer_orders.transfer,
    buyer_orders.approve,
    buyer_orders.keys,
    buyer_orders.action,
    buyer_sales.upgrade,
    buyer_orders.decline_renewal,
    buyer_orders.allow_renewal,
):
    app.command(_command.__name__.replace("_", "-"))(_command)
app.command("list")(buyer_looks.mine)


def main() -> None:
    """Run the command line."""
    run(app)
