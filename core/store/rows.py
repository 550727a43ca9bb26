"""Answers as rows of the tables."""

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from core.base.results import Agreement, Evaluation, NeuronEffect, Predictivity, SoftPrompt
from core.base.specs import EvaluationSpec, PredictivitySpec, Prompt, TuneSpec, dumps, key
from core.stats.neurons import at_token, best_token, predictivity


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
    floor = p.floor
    row = {
        **_common(p.spec),
        "contrast": None if contrast is None else str((contrast.negative, contrast.positive)),
        "n": p.n,
        "n_train": p.n_train,
        "majority": p.majority,
        "floor_mean": floor.mean if floor else np.nan,
        "floor_p99": floor.p99 if floor else np.nan,
        "floor_family": floor.family if floor else np.nan,
        "floor_fdr": floor.fdr if floor else np.nan,
        "permutations": floor.permutations if floor else 0,
    }
    table = neuron_table(p)
    table.insert(0, "key", key(p.spec))
    table["mean"] = p.baseline.mean(dim=1).flatten().numpy()
    table["by_token"] = list(p.correct.transpose(1, 2).flatten(0, 1).numpy().astype(np.uint32))
    return {"neuron": table.drop(columns="n"), "predictivity": pd.DataFrame([row])}


def neuron_table(p: Predictivity) -> pd.DataFrame:
    """One row per neuron: layer, neuron, best_token, baseline, accuracy, predictivity, n; with a
    floor also p, p_family, q.
    """
    token = best_token(p.accuracy)
    layers, width = token.shape
    known = {"p": p.floor.p, "p_family": p.floor.p_family, "q": p.floor.q} if p.floor else {}
    return pd.DataFrame(
        {
            "layer": np.repeat(np.arange(layers), width),
            "neuron": np.tile(np.arange(width), layers),
            "best_token": token.flatten().numpy(),
            "baseline": at_token(p.baseline, token).flatten().numpy(),
            "accuracy": at_token(p.accuracy, token).flatten().numpy(),
            "predictivity": predictivity(p.accuracy).flatten().numpy(),
            "n": p.n,
            **{name: values.flatten().numpy() for name, values in known.items()},
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


def effect_tables(e: NeuronEffect) -> dict[str, pd.DataFrame]:
    """What one neuron does, with its examples."""
    asked = e.spec.ranking
    row = {
        **_common(asked),
        "key": key(e.spec),
        "layer": e.spec.layer,
        "neuron": e.spec.neuron,
        "rows": e.index.astype(np.int32),
        "labels": e.labels.astype(np.uint8),
        "margin": e.margin,
        "without_slot": e.without_slot,
        "without": e.without,
        "spec": dumps(e.spec),
    }
    return {"effect": pd.DataFrame([row])}


def agreement_tables(a: Agreement) -> dict[str, pd.DataFrame]:
    """A comparison of clean and adversarial predictivities, with its replicates."""
    first = a.spec.adversarial[0]
    row = {
        "key": key(a.spec),
        "backbone": first.prompt.backbone.name,
        "source_task": source_task(first.prompt),
        "target_task": first.task.name,
        "seeds": len({s.prompt.seed for s in a.spec.clean}),
        "layers": a.spearman.shape[1],
        "neurons": a.neurons,
        "n_clean": a.n_clean,
        "n_adversarial": a.n_adversarial,
        "kind": list(a.kind),
        "attack": list(a.attack),
        "spearman": a.spearman.tolist(),
        "fractions": list(a.spec.fractions),
        "skill": a.skill.tolist(),
        "kept": a.kept.tolist(),
        "median": a.median.tolist(),
        "spec": dumps(a.spec),
    }
    return {"agreement": pd.DataFrame([row])}
