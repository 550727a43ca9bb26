"""Sets of questions about other ways to tune a backbone."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from core.backbones.trained import WAYS, Way
from core.base.specs import Precision
from core.measures import sweeps
from core.measures.attribution import AttributionSpec
from core.measures.evaluation import Suppression
from core.measures.predictivity import PredictivitySpec
from core.measures.tuning import TuneSpec
from core.measures.ways import WaySpec

DRAWS = 3  # of random neurons
FRACTION = 0.05  # of each layer: the neurons suppressed
# By family; of three or four rates, that with the best accuracy on the selection rows of Opinions
# (seed 0).
EMBEDDED_RATES: Mapping[str, Mapping[Way, float]] = {
    "roberta": {
        "prefix": 0.03, "bias": 0.03, "lora": 0.003, "adapter": 0.01, "full": 0.0003,
    },
    "t5": {"prefix": 0.03, "bias": 0.03, "lora": 0.003, "adapter": 0.001, "full": 0.0003},
}  # fmt: skip
# What the ways' own papers and peft's examples use for models of base size.
PAPER_RATES: Mapping[str, Mapping[Way, float]] = {
    "roberta": {
        "prefix": 0.01, "bias": 0.001, "lora": 0.0005, "adapter": 0.0005, "full": 0.00002,
    },
    "bert": {
        "prefix": 0.01, "bias": 0.001, "lora": 0.0005, "adapter": 0.0005, "full": 0.00002,
    },
    "t5": {"prefix": 0.05, "bias": 0.003, "lora": 0.001, "adapter": 0.001, "full": 0.0003},
}  # fmt: skip


def rate(tuning: TuneSpec, family: str, way: Way) -> float:
    """The learning rate of a way on a backbone; prompts keep their own."""
    if way == "prompt":
        return tuning.learning_rate
    usual = sweeps.tuning_defaults(tuning.backbone)
    rates = EMBEDDED_RATES if usual is sweeps.EMBEDDED_DEFAULTS else PAPER_RATES
    return rates[family][way]


def _trained_in(tuning: TuneSpec) -> Precision:
    """Weights cannot be trained in bf16."""
    return "fp32" if tuning.precision == "bf16" else tuning.precision


def ways(
    prompts: Sequence[TuneSpec],
    family: str,
    predictive: Sequence[PredictivitySpec],
    causal: Sequence[AttributionSpec],
    *,
    split: str = "validation",
    chosen: Sequence[Way] = WAYS,
    fraction: float = FRACTION,
) -> tuple[WaySpec, ...]:
    """Each way with the rows and batches of each prompt's tuning, and with the prompts' causal and
    skill neurons, and random ones, suppressed afterwards.

    Trained as precisely as neurons are measured, so that the embedded default gives the same
    answers everywhere.
    """
    how = (
        Suppression(ranking=tuple(causal), choose="causal", fraction=fraction),
        Suppression(ranking=tuple(predictive), choose="skill", fraction=fraction),
        *(
            Suppression(ranking=(), choose="random", fraction=fraction, seed=draw)
            for draw in range(DRAWS)
        ),
    )
    return tuple(
        WaySpec(
            way=way,
            tuning=replace(
                p,
                learning_rate=rate(p, family, way),
                precision=sweeps.measured_in(p) or _trained_in(p),
            ),
            suppressions=how,
            split=split,
        )
        for way in chosen
        for p in prompts
    )
