"""How well a written text answers: a score in [0, 1] per example, by torchmetrics."""

import re
from collections.abc import Callable, Mapping, Sequence

_NOT_WORDS = re.compile(r"[\W_]+")
Metric = Callable[[str, Sequence[str]], float]


def exact_match(written: str, references: Sequence[str]) -> float:
    """1 where the text and a reference say the same, apart from case, punctuation, spacing and
    English articles.

    Source: Rajpurkar et al. 2016 (SQuAD).
    """
    return _squad(written, references, "exact_match")


def f1(written: str, references: Sequence[str]) -> float:
    """Harmonic mean of precision and recall of the text's words, against the best reference;
    normalised as for an exact match.

    Source: Rajpurkar et al. 2016 (SQuAD).
    """
    return _squad(written, references, "f1")


def _squad(written: str, references: Sequence[str], name: str) -> float:
    from torchmetrics.functional.text import squad

    texts = list(references)
    answers = {"text": texts, "answer_start": [0] * len(texts)}  # the starts are not looked at
    given = [{"prediction_text": written, "id": "0"}]
    found = squad(given, [{"answers": answers, "id": "0"}])  # type: ignore[dict-item]
    return float(found[name]) / 100


def _rouge(name: str) -> Metric:
    def score(written: str, references: Sequence[str]) -> float:
        from torchmetrics.functional.text import rouge_score

        found = rouge_score(written, [list(references)], rouge_keys=name)
        return float(found[f"{name}_fmeasure"])

    return score


QUESTIONS: Mapping[str, Metric] = {"exact_match": exact_match, "f1": f1}
# F measures of shared words, of shared pairs of neighbours, and of the longest common subsequence
# (Lin 2004); of ASCII letters and digits, without stemming.
SUMMARIES: Mapping[str, Metric] = {n: _rouge(n) for n in ("rouge1", "rouge2", "rougeL")}
METRICS: Mapping[str, Metric] = {**QUESTIONS, **SUMMARIES}
TITLES: Mapping[str, str] = {
    "accuracy": "Accuracy", "exact_match": "Exact match", "f1": "F1",
    "rouge1": "ROUGE-1", "rouge2": "ROUGE-2", "rougeL": "ROUGE-L",
}  # fmt: skip


def beside(metric: str) -> Mapping[str, Metric]:
    """The metrics that are usually reported together with this one, itself included."""
    return QUESTIONS if metric in QUESTIONS else SUMMARIES


def normal(text: str) -> str:
    """A text without case, punctuation and spacing."""
    return _NOT_WORDS.sub(" ", text.casefold()).strip()
