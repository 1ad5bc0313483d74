"""A group of commands that are loaded when they are asked for: `--version`, `--help` and a typo load none of them."""

import shlex
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from capsim_dagster.cli.options import COMMAND_KEY


class LazyGroup(click.Group):
    """A group whose commands are each a module of one package, of the same name."""

    def __init__(self, *, package: str, commands_of_package: Mapping[str, str], **attributes: Any) -> None:  # noqa: ANN401 those of click
        """Know the commands."""
        super().__init__(**attributes)
        self._package = package
        self._short_help = dict(commands_of_package)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Remember how the command was called, and go on."""
        ctx.meta[COMMAND_KEY] = shlex.join(["capsim", *args])
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, in order."""
        return sorted({*super().list_commands(ctx), *self._short_help})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, loading it where it is one of the package."""
        if cmd_name not in self.commands and cmd_name in self._short_help:
            self.add_command(getattr(import_module(f"{self._package}.{cmd_name}"), cmd_name))
        return super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 click hands it over
        """Write what each command does in a line."""
        short = {name: command.get_short_help_str(limit=formatter.width) for name, command in self.commands.items()}
        with formatter.section("Commands"):
            formatter.write_dl(sorted({**short, **self._short_help}.items()))
