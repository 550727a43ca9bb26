"""Answers as rows of the tables."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from core.neurons import at_token, best_token, predictivity
from core.results import Evaluation, Floor, Predictivity, SoftPrompt
from core.specs import EvaluationSpec, PredictivitySpec, Prompt, TuneSpec, dumps, key


def prompt_tables(p: SoftPrompt) -> dict[str, pd.DataFrame]:
    """A prompt and the steps of its tuning."""
    name, spec = key(p.spec), p.spec
    row = {
        "key": name,
        "backbone": spec.backbone.name,
        "fingerprint": spec.backbone.fingerprint,
        "task": source_task(spec),
        "seed": spec.seed,
        "prompt_length": len(p.vectors),
        "origin": "tuned" if isinstance(spec, TuneSpec) else "imported",
        "best_step": p.best_step,
        "selection_accuracy": p.selection_accuracy,
        "selection_rows": p.selection_rows,
        "spec": dumps(spec),
    }
    steps = [{"key": name, **asdict(step)} for step in p.history]
    tables = {"prompt": pd.DataFrame([row])}
    return {"step": pd.DataFrame(steps), **tables} if steps else tables


def source_task(prompt: Prompt) -> str:
    """The task a prompt was tuned on."""
    return prompt.task.name if isinstance(prompt, TuneSpec) else prompt.task


def _common(spec: PredictivitySpec | EvaluationSpec) -> dict[str, Any]:
    return {
        "key": key(spec),
        "prompt": key(spec.prompt),
        "backbone": spec.prompt.backbone.name,
        "source_task": source_task(spec.prompt),
        "seed": spec.prompt.seed,
        "target_task": spec.task.name,
        "split": spec.split,
        "spec": dumps(spec),
    }


def predictivity_tables(p: Predictivity) -> dict[str, pd.DataFrame]:
    """A measurement and its neurons."""
    contrast = p.spec.contrast
    floor = p.floor or Floor(mean=np.nan, p99=np.nan, family=np.nan, permutations=0)
    row = {
        **_common(p.spec),
        "contrast": None if contrast is None else str((contrast.negative, contrast.positive)),
        "n": p.n,
        "n_train": p.n_train,
        "majority": p.majority,
        "floor_mean": floor.mean,
        "floor_p99": floor.p99,
        "floor_family": floor.family,
        "permutations": floor.permutations,
    }
    table = neuron_table(p)
    table.insert(0, "key", key(p.spec))
    table["mean"] = p.baseline.mean(dim=1).flatten().numpy()
    return {"neuron": table.drop(columns="n"), "predictivity": pd.DataFrame([row])}


def neuron_table(p: Predictivity) -> pd.DataFrame:
    """One row per neuron: layer, neuron, best_token, baseline, accuracy, predictivity, n."""
    token = best_token(p.accuracy)
    layers, width = token.shape
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), width),
            "neuron": np.tile(np.arange(width), layers),
            "best_token": token.flatten().numpy(),
            "baseline": at_token(p.baseline, token).flatten().numpy(),
            "accuracy": at_token(p.accuracy, token).flatten().numpy(),
            "predictivity": predictivity(p.accuracy).flatten().numpy(),
            "n": p.n,
        }
    )


def evaluation_tables(e: Evaluation) -> dict[str, pd.DataFrame]:
    """An evaluation with its predictions."""
    how = e.spec.suppression
    row = {
        **_common(e.spec),
        "n": e.n,
        "correct": e.correct,
        "accuracy": e.accuracy,
        "majority": e.majority,
        "choose": None if how is None else how.choose,
        "fraction": None if how is None else how.fraction,
        "draw": None if how is None else how.seed,
        "rows": e.index.astype(np.int32),
        "labels": e.labels.astype(np.uint8),
        "predictions": e.predictions.astype(np.uint8),
    }
    return {"evaluation": pd.DataFrame([row])}
