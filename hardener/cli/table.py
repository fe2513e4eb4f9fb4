"""The commands, in the order in which --help names them."""

from collections.abc import Mapping

from hardener.cli.command import Command
from hardener.cli.commands.bench import BENCH
from hardener.cli.commands.demo import DEMO
from hardener.cli.commands.export import EXPORT
from hardener.cli.commands.inspect import INSPECT
from hardener.cli.commands.prune import PRUNE
from hardener.cli.commands.repair import REPAIR
from hardener.cli.commands.report import REPORT
from hardener.cli.commands.scan import SCAN
from hardener.cli.commands.schema import SCHEMA

COMMANDS: Mapping[str, Command] = {
    command.name: command
    for command in (EXPORT, SCAN, PRUNE, REPAIR, BENCH, REPORT, INSPECT, SCHEMA, DEMO)
}
