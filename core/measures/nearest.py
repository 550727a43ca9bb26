"""What does a soft prompt say? The words of the vocabulary that are nearest to each of its vectors.

A soft prompt need not be near any word: its vectors are free. So norms stand beside the words, with
those of the vocabulary, and the word from which tuning started, where it started from one.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    from jaxtyping import Float, Int
    from torch import Tensor

    from core.backbones.base import Backbone

Values = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
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
    """`tokens[metric][row][place]`, the nearest first, with `ids[metric][row, place]`, and
    `values[metric][row, place]`: cosine, or Euclidean distance. `norms[row]`; `vocabulary`:
    quantiles `LEVELS` of the tokens' norms. `start`, `start_id`: the token from which each vector
    started; empty if it was not drawn from the vocabulary.
    """

    spec: NearestSpec
    tokens: dict[Metric, list[list[str]]]
    ids: dict[Metric, Int[Numbers, "row place"]]
    values: dict[Metric, Float[Values, "row place"]]
    norms: Float[Values, " row"]
    vocabulary: tuple[float, float, float]
    start: tuple[str, ...]
    start_id: tuple[int, ...]


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
    tokens, ids, values = dict[Metric, list[list[str]]](), dict[Metric, Numbers](), {}
    for metric, found in near.items():
        top = found.topk(min(spec.count, len(words)), dim=1, largest=metric == "cosine")
        ids[metric], values[metric] = top.indices.cpu().numpy(), top.values.cpu().numpy()
        tokens[metric] = [readable(backbone, row.tolist()) for row in ids[metric]]
    asked, start = spec.prompt, list[int]()
    if isinstance(asked, TuneSpec) and asked.init == "vocabulary" and asked.start is None:
        start = initial_words(asked, len(words)).tolist()
    norms = words.norm(dim=1)
    low, middle, high = np.quantile(norms.cpu().numpy(), LEVELS)
    progress(1.0)
    return Nearest(
        spec=spec,
        tokens=tokens,
        ids=ids,
        values=values,
        norms=vectors.norm(dim=1).cpu().numpy(),
        vocabulary=(float(low), float(middle), float(high)),
        start=tuple(readable(backbone, start)),
        start_id=tuple(start),
    )


def readable(backbone: Backbone, ids: Sequence[int]) -> list[str]:
    """Tokens as a reader would write them; a lone marker, or a part of a character, stays as the
    tokenizer has it. A backbone may have more embeddings than its tokenizer has tokens.
    """
    tokens = backbone.tokenizer.convert_ids_to_tokens(list(ids))
    named = [f"<unused {i}>" if t is None else str(t) for i, t in zip(ids, tokens, strict=True)]
    texts = [backbone.tokenizer.decode([i]).strip() for i in ids]
    whole = [bool(text) and PART not in text for text in texts]
    return [t if ok else name for t, ok, name in zip(texts, whole, named, strict=True)]


# --- in the store --------------------------------------------------------------------------------
MAIN = Table(
    name="nearest",
    columns="prompt VARCHAR, backbone VARCHAR, source_task VARCHAR, seed INTEGER, low DOUBLE,"
    " middle DOUBLE, high DOUBLE",
)
ROW = Table(
    name="nearest_row",
    columns="row USMALLINT, norm DOUBLE, start VARCHAR, start_id INTEGER",
    order="key, row",
)
TOKEN = Table(
    name="nearest_token",
    columns="metric VARCHAR, row USMALLINT, place USMALLINT, token VARCHAR, id INTEGER,"
    " value DOUBLE",
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
    nothing = (None,) * len(found.norms)
    vectors = pd.DataFrame(
        {
            "row": np.arange(len(found.norms)), "norm": found.norms,
            "start": list(found.start or nothing),
            "start_id": pd.array(list(found.start_id or nothing), "Int64"),
        }
    )  # fmt: skip
    tokens = [
        {
            "metric": metric, "row": row, "place": place, "token": token,
            "id": found.ids[metric][row, place], "value": found.values[metric][row, place],
        }
        for metric in METRICS
        for row, texts in enumerate(found.tokens[metric])
        for place, token in enumerate(texts)
    ]  # fmt: skip
    return {
        "nearest": pd.DataFrame([main]),
        "nearest_row": vectors,
        "nearest_token": pd.DataFrame(tokens),
    }


def read(spec: NearestSpec, stored: Stored) -> Nearest:
    """The stored answer."""
    main = stored.rows("nearest").iloc[0]
    vectors = stored.rows("nearest_row", order="row")
    found = stored.rows("nearest_token", order="metric, row, place")
    tokens, ids, values = dict[Metric, list[list[str]]](), dict[Metric, Numbers](), {}
    for metric in METRICS:
        mine = found[found.metric == metric]
        tokens[metric] = [group.token.tolist() for _, group in mine.groupby("row")]
        ids[metric] = mine.id.to_numpy(np.int64).reshape(len(vectors), -1)
        values[metric] = mine.value.to_numpy(np.float64).reshape(len(vectors), -1)
    known = vectors.start_id.notna().all()
    return Nearest(
        spec=spec,
        tokens=tokens,
        ids=ids,
        values=values,
        norms=vectors.norm.to_numpy(np.float64),
        vocabulary=(float(main.low), float(main.middle), float(main.high)),
        start=tuple(vectors.start) if known else (),
        start_id=tuple(vectors.start_id.astype(int)) if known else (),
    )


NEAREST = Measure(
    spec=NearestSpec,
    tables=(MAIN, ROW, TOKEN),
    needs=needs,
    compute=read_words,
    rows=rows,
    read=read,
)
