"""The command line, one file per kind of command; `__main__` joins their typer apps."""
