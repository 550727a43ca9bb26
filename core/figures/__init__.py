"""Stored answers as tables, one function per figure."""
