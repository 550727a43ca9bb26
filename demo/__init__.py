"""How the embedded default is made: texts, splits, pretraining, prompts, answers."""
