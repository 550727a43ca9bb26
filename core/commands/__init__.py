"""The command line, a file per kind of command. Each has a typer app that `__main__` joins."""
