"""What does a soft prompt say? The words of the vocabulary that are nearest to each of its vectors.

A soft prompt need not be near any word: its vectors are free. So norms stand beside the words, with
those of the vocabulary, and the word from which tuning started, where it started from one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from core.base.measure import Measure, Stored, Table
from core.base.progress import Progress
from core.base.prompts import Prompt
from core.base.specs import Spec, key, positive
from core.measures.bench import Bench
from core.measures.tuning import TuneSpec, initial_words

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from core.backbones.base import Backbone

Values = npt.NDArray[np.float64]
Metric = Literal["cosine", "distance"]
METRICS: tuple[Metric, ...] = get_args(Metric)
PART = "\N{REPLACEMENT CHARACTER}"  # what decoding gives for a part of a character
LEVELS = (0.05, 0.5, 0.95)  # quantiles of the vocabulary's norms


@dataclass(frozen=True, kw_only=True)
class NearestSpec(Spec):
    """Which words are nearest to each vector of a prompt, and how long are the vectors?"""

    prompt: Prompt
    count: int = 10

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "count")


@dataclass(frozen=True, kw_only=True, eq=False)
class Nearest:
    """`tokens[metric][row][place]`, the nearest first, and `values[metric][row, place]`: cosine, or
    Euclidean distance. `norms[row]`; `vocabulary`: quantiles `LEVELS` of the words' norms. `start`:
    the word from which each vector started; empty if tuning did not start from words.
    """

    spec: NearestSpec
    tokens: dict[Metric, list[list[str]]]
    values: dict[Metric, Float[Values, "row place"]]
    norms: Float[Values, " row"]
    vocabulary: tuple[float, float, float]
    start: tuple[str, ...]


def needs(spec: NearestSpec) -> tuple[Spec, ...]:
    """The prompt."""
    return (spec.prompt,)


def read_words(spec: NearestSpec, bench: Bench, progress: Progress) -> Nearest:
    """Every vector against every word, in double precision."""
    import torch

    backbone = bench.backbone(spec.prompt)
    words = backbone.word_vectors().double()
    vectors = bench.stored(spec.prompt).vectors.double().to(words.device)
    first, second = (torch.nn.functional.normalize(rows) for rows in (vectors, words))
    near: dict[Metric, Tensor] = {
        "cosine": first @ second.T,
        "distance": torch.cdist(vectors, words),
    }
    tokens, values = dict[Metric, list[list[str]]](), dict[Metric, Values]()
    for metric, found in near.items():
        top = found.topk(min(spec.count, len(words)), dim=1, largest=metric == "cosine")
        tokens[metric] = [_texts(backbone, row) for row in top.indices]
        values[metric] = top.values.cpu().numpy()
    asked = spec.prompt
    started = isinstance(asked, TuneSpec) and asked.init == "vocabulary" and asked.start is None
    norms = words.norm(dim=1)
    low, middle, high = np.quantile(norms.cpu().numpy(), LEVELS)
    progress(1.0)
    return Nearest(
        spec=spec,
        tokens=tokens,
        values=values,
        norms=vectors.norm(dim=1).cpu().numpy(),
        vocabulary=(float(low), float(middle), float(high)),
        start=tuple(_texts(backbone, initial_words(spec.prompt, len(words)))) if started else (),
    )


def _texts(backbone: Backbone, ids: Tensor) -> list[str]:
    """Tokens as a reader would write them; a lone marker, or a part of a character, stays as the
    tokenizer has it.
    """
    tokens = map(str, backbone.tokenizer.convert_ids_to_tokens(ids.tolist()))
    texts = [backbone.tokenizer.decode([i]).strip() for i in ids.tolist()]
    whole = [bool(text) and PART not in text for text in texts]
    return [t if ok else token for t, ok, token in zip(texts, whole, tokens, strict=True)]


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="nearest",
    columns="prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER, low DOUBLE,"
    " middle DOUBLE, high DOUBLE",
)
ROW = Table(
    name="nearest_row", columns="row USMALLINT, norm DOUBLE, start VARCHAR", order="key, row"
)
TOKEN = Table(
    name="nearest_token",
    columns="metric VARCHAR, row USMALLINT, place USMALLINT, token VARCHAR, value DOUBLE",
    order="key, metric, row, place",
)


def rows(found: Nearest) -> dict[str, pd.DataFrame]:
    """An answer, its vectors, and their nearest words."""
    asked = found.spec.prompt
    low, middle, high = found.vocabulary
    main = {
        "prompt": key(asked), "backbone": asked.backbone.name, "source_task": asked.source_task,
        "seed": asked.seed, "low": low, "middle": middle, "high": high,
    }  # fmt: skip
    start = found.start or (None,) * len(found.norms)
    vectors = pd.DataFrame({"row": np.arange(len(found.norms)), "norm": found.norms})
    tokens = [
        {"metric": metric, "row": row, "place": place, "token": token, "value": value}
        for metric in METRICS
        for row, texts in enumerate(found.tokens[metric])
        for place, (token, value) in enumerate(zip(texts, found.values[metric][row], strict=True))
    ]
    return {
        "nearest": pd.DataFrame([main]),
        "nearest_row": vectors.assign(start=list(start)),
        "nearest_token": pd.DataFrame(tokens),
    }


def read(spec: NearestSpec, stored: Stored) -> Nearest:
    """The stored answer."""
    main = stored.rows("nearest").iloc[0]
    vectors = stored.rows("nearest_row", order="row")
    found = stored.rows("nearest_token", order="metric, row, place")
    tokens, values = dict[Metric, list[list[str]]](), dict[Metric, Values]()
    for metric in METRICS:
        mine = found[found.metric == metric]
        tokens[metric] = [group.token.tolist() for _, group in mine.groupby("row")]
        values[metric] = mine.value.to_numpy(np.float64).reshape(len(vectors), -1)
    known = vectors.start.notna().all()
    return Nearest(
        spec=spec,
        tokens=tokens,
        values=values,
        norms=vectors.norm.to_numpy(np.float64),
        vocabulary=(float(main.low), float(main.middle), float(main.high)),
        start=tuple(vectors.start) if known else (),
    )


NEAREST = Measure(
    spec=NearestSpec,
    tables=(MAIN, ROW, TOKEN),
    needs=needs,
    compute=read_words,
    rows=rows,
    read=read,
)
