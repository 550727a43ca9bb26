"""Formulas without models or stores: choices of neurons, correlation, intervals and tests."""
