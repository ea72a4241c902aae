"""`python -m paste_unicorn.check prod.ini`: the check for servers that are not started by paster."""

from __future__ import annotations

import argparse
import sys

from .checking import check, variables_of


def main() -> int:
    """0 where all is fine, 1 where something is wrong or falls short."""
    parser = argparse.ArgumentParser(
        prog="python -m paste_unicorn.check", description="Check an ini, and what the kernel allows, without serving."
    )
    parser.add_argument("ini", help="the ini file; prod.ini#NAME for the sections of that name")
    parser.add_argument("variables", nargs="*", metavar="name=value", help="as on the runner's command line")
    parser.add_argument("--server-name", metavar="NAME", help="the section [server:NAME] (default: main)")
    parser.add_argument("--app-name", metavar="NAME", help="the application's section (default: main)")
    given = parser.parse_intermixed_args()
    try:
        variables = variables_of(given.variables)
    except ValueError as error:
        parser.error(str(error))
    return check(given.ini, given.server_name, given.app_name, variables, sys.stdout)


if __name__ == "__main__":
    sys.exit(main())
