"""The nine built-in tasks and their adversarial versions, written for this project."""

import random

from demo.texts import ethics, inference, paraphrase, sentiment
from demo.texts.example import Example, Generator

_ALL: dict[str, Generator] = {
    **sentiment.GENERATORS,
    **inference.GENERATORS,
    **paraphrase.GENERATORS,
    **ethics.GENERATORS,
}

# The grammars know more than backbones of this size learn in an hour: 70 constructions, each with a
# plateau of its own. These are the ones in use; a task that is not named here uses all of its own.
CONSTRUCTIONS: dict[str, tuple[str, ...]] = {
    "long_reviews": ("verdict", "despite", "question", "turn"),
    "entailment": ("implicative", "opposite", "hypernym"),
    "answerability": ("information", "start_end"),
    "question_pairs": ("attribute", "question_word"),
    "sentence_pairs": ("polarity", "trend"),
    "excuses": ("fitting", "wrong_domain", "waived", "preference"),
    "treatment": ("fitting", "wrong_domain", "deserved", "swapped"),
}


def _in_use(task: str, generator: Generator) -> Generator:
    """Only the constructions in use, both labels equally often."""
    kinds = CONSTRUCTIONS.get(task)
    if kinds is None:
        return generator

    def draw(rng: random.Random) -> Example:
        label = rng.randrange(2)
        while True:
            example = generator(rng)
            if example.kind in kinds and example.label == label:
                return example

    return draw


GENERATORS: dict[str, Generator] = {task: _in_use(task, g) for task, g in _ALL.items()}

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
