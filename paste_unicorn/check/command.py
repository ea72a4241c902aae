"""`paster unicorn-check prod.ini`: the check as a command of PasteScript."""

from __future__ import annotations

import sys

from paste.script.command import BadCommand, Command

from .checking import check, variables_of


class CheckCommand(Command):  # type: ignore[misc]
    """`paste.global_paster_command`."""

    usage = "CONFIG_FILE [var=value]"
    summary = "Check the settings of egg:gunicorn#main, and what the kernel allows"
    description = """\
    Says what is wrong with the server's section of the file, looks for the application without loading it, tries
    addresses, files and user, and compares what the kernel allows with what the settings need. Nothing is served. The
    exit code is 0, or 1 where something is wrong or falls short.
    """
    group_name = "gunicorn"
    takes_config_file = 1
    min_args = 1
    min_args_error = "You must give a config file"

    parser = Command.standard_parser(verbose=False)
    parser.add_option(
        "--server-name",
        dest="server_name",
        metavar="SECTION_NAME",
        help="Check the named server as defined in the configuration file (default: main)",
    )
    parser.add_option(
        "--app-name",
        dest="app_name",
        metavar="APP_NAME",
        help="Look for the named application in the configuration file (default: main)",
    )

    def command(self) -> int:
        """The exit code."""
        try:
            variables = variables_of(self.args[1:])
        except ValueError as error:
            raise BadCommand(str(error)) from None
        return check(self.args[0], self.options.server_name, self.options.app_name, variables, sys.stdout)
