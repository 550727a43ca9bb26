"""Measurements: what is asked, how it is computed, how it is stored."""
