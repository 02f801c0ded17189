"""Who sells from the shell in which the daemon is checked has the commands' variables set there."""

from typer.main import get_command

from chainwatch.cli import buyer, main
from chainwatch.config.problems import unknown_variables
from tests.unit.test_cli import all_commands


def test_the_variables_of_people_s_commands_are_not_taken_for_settings() -> None:
    names = {
        str(name)
        for app in (main.app, buyer.app)
        for _, command in all_commands(get_command(app))
        for parameter in command.params
        if (name := parameter.envvar)
    }
    assert {"CHAINWATCH_RPC", "CHAINWATCH_CONTRACT", "CHAINWATCH_SOCKET"} <= names
    assert list(unknown_variables(dict.fromkeys(names, "set"))) == []
    assert list(unknown_variables({"CHAINWATCH_RCP": "set"})) != []
