"""Measurements: their questions, how they are computed, and how they are stored."""
