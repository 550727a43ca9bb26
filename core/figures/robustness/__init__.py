"""The tables of the Robustness page, and its verdict in words."""
