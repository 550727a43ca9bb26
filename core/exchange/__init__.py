"""Prompts in from others, prompts out to others."""
