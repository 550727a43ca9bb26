"""What was computed on this machine, beyond what is shipped."""

from collections.abc import Collection

import pandas as pd

from core.store import Store

COLUMNS = "kind backbone task answers latest keys".split()  # noqa: SIM905
TITLES = {
    "ablation": "suppression of one neuron", "activated": "neurons that a prompt activates",
    "attribution": "attribution", "dropped": "prompt without some vectors",
    "evaluation": "accuracy", "faithfulness": "attribution against suppression",
    "nearest": "nearest tokens", "predictivity": "predictivity",
    "stability": "agreement under attack",
    "way": "way to tune", "worst_draw": "attack, worst of several",
}  # fmt: skip
# Prompts are deleted in a section of their own, projectors stay, activations are bounded.
NOT_MEASURED = ("prompt", "projector", "activation_index")


def computed(store: Store, shipped: Collection[str]) -> pd.DataFrame:
    """One row per kind of measurement, backbone and task: kind (the measurement's table), backbone,
    task (its name), answers (how many), latest (when the last one was computed), keys.
    """
    parts = [_of(store, table) for table in store.main_tables if table not in NOT_MEASURED]
    rows = pd.concat(parts, ignore_index=True)
    rows = rows[~rows.key.isin(set(shipped))]
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    grouped = rows.groupby(["kind", "backbone", "task"], sort=True)
    found = grouped.agg(
        answers=("key", "size"), latest=("started", "max"), keys=("key", tuple)
    ).reset_index()
    return found[COLUMNS]


def _of(store: Store, table: str) -> pd.DataFrame:
    """key, kind, backbone, task, started of one measurement's answers."""
    there = set(store.frame(f"SELECT * FROM {table} LIMIT 0").columns)
    task = next(c for c in ("target_task", "task", "source_task") if c in there)
    return store.frame(
        f"SELECT key, '{table}' AS kind, t.backbone, t.{task} AS task, r.started"
        f" FROM {table} t JOIN run r USING (key) ORDER BY key"
    )
