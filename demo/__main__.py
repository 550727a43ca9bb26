"""`python -m demo ...`: make the embedded default again."""

import sys

from core.base.errors import SkillscopeError
from demo.commands import demo


def main() -> None:
    """Run a command; a user's error is one sentence and exit code 1."""
    try:
        demo()
    except (SkillscopeError, OSError) as error:
        print(f"skillscope: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
