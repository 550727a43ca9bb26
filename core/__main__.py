"""The command line: `python -m core ...`. It asks the same lab as the pages do.

Exit code 0: done; 1: bad input, with one plain sentence on standard error; 2: wrong usage.
"""

import sys

import typer

from core.base.errors import SkillscopeError
from core.commands import (
    answers,
    indicators,
    library,
    neurons,
    projection,
    tuning,
    ways,
    whole_paper,
    written,
)

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for group in (
    library, tuning, answers, written, neurons, indicators, projection, ways, whole_paper,
):  # fmt: skip
    app.add_typer(group.app)


def main() -> None:
    """Run a command; a user's error is one sentence and exit code 1."""
    try:
        app()
    except (SkillscopeError, OSError) as error:
        print(f"skillscope: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
