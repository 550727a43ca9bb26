"""The tables of the Robustness page, and the verdict in words."""
