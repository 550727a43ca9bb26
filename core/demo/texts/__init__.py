"""The nine built-in tasks and their adversarial twins, written for this project."""

from core.demo.texts import ethics, inference, paraphrase, sentiment
from core.demo.texts.example import Example, Generator

GENERATORS: dict[str, Generator] = {
    **sentiment.GENERATORS,
    **inference.GENERATORS,
    **paraphrase.GENERATORS,
    **ethics.GENERATORS,
}

FAMILY_OF: dict[str, str] = {
    **dict.fromkeys(sentiment.GENERATORS, "sentiment"),
    **dict.fromkeys(inference.GENERATORS, "inference"),
    **dict.fromkeys(paraphrase.GENERATORS, "paraphrase"),
    **dict.fromkeys(ethics.GENERATORS, "ethics"),
}

_WORDS = {
    "sentiment": ("negative", "positive"),
    "inference": ("no", "yes"),
    "paraphrase": ("false", "true"),
    "ethics": ("unacceptable", "acceptable"),
}
VERBALIZERS: dict[str, tuple[str, str]] = {task: _WORDS[f] for task, f in FAMILY_OF.items()}

ADVERSARIAL: dict[str, dict[str, Generator]] = {
    "short_reviews": sentiment.ADVERSARIAL,
    "answerability": inference.ADVERSARIAL,
    "question_pairs": paraphrase.ADVERSARIAL,
}
HAND_WRITTEN: dict[str, tuple[Example, ...]] = {
    "short_reviews": sentiment.HAND_WRITTEN,
    "answerability": inference.HAND_WRITTEN,
    "question_pairs": paraphrase.HAND_WRITTEN,
}
