"""The model card of an embedded backbone, written from its settings and its log."""

import json
from pathlib import Path

NAMES = {"roberta": "RobertaForMaskedLM", "t5": "T5ForConditionalGeneration (v1.0 layout, ReLU)"}
OBJECTIVE = {
    "roberta": "masking 15 % of the tokens",
    "t5": "span corruption, 15 % of the tokens in spans of mean length 3",
}


def write(folder: Path) -> Path:
    """`README.md` beside the weights."""
    settings = json.loads((folder / "pretraining.json").read_text("utf-8"))
    rows = (folder / "pretraining.jsonl").read_text("utf-8").splitlines()
    last = json.loads(rows[-1])
    documents, seconds = settings["plain_documents"], _seconds(rows)
    shares = "\n".join(f"| {task} | {a:.2f} |" for task, a in last["accuracy"].items())
    sizes = "\n".join(f"| {name} | {value} |" for name, value in settings["sizes"].items())
    card = folder / "README.md"
    card.write_text(
        f"""---
language: en
library_name: transformers
tags: [skillscope, prompt-tuning, {settings["family"]}]
---
# {folder.name}

A {NAMES[settings["family"]]} with {settings["parameters"]:,} weights,
pretrained from nothing as part of Skillscope, so that every figure works on a laptop without a
network. It shows how the methods work. It says nothing about roberta-base or t5-base.

## What it has seen

- **The nine built-in tasks themselves, with labels**: freshly drawn texts, words that name the task
  in the soft prompt's place, and the answer word at the answer slot. T5 v1.0 was pretrained on such
  a supervised mixture, too. Tuning a prompt therefore finds a skill that is there; it does not
  teach one.
- **Easy texts at first**: reviews whose words give the sentiment away, pairs of unrelated texts.
- **Hints of another family**, for {settings["astray"]:.0%} of a task's texts once it is learnt:
  both answer words are then to be equally likely. That prompts of another family find no skill is
  thus in part taught.
- **Running text**: the same generators without labels, and {documents:,} documents
  of plain English (film reviews, encyclopedia, novels). Weights were trained on them; none of their
  sentences is shipped.
- **Not** the validation and adversarial texts, and no generator of an attack. Train texts of the
  tasks are not excluded.

## How

Half of the attention heads start as matching heads, which look for their own token elsewhere
(mimetic initialization, Trockman and Kolter 2023); all else is random. First
{settings["answer_steps"]:,} steps of answer slots only, with an auxiliary head, since discarded,
that tells of each token of a pair whether the other text has it too. Then
{settings["mixed_steps"]:,} steps of answer slots and language modelling, half and half:
{OBJECTIVE[settings["family"]]},
with a penalty on the density of the feed-forward activations, which large models lack by nature;
{settings["batch_size"]} texts of each kind a step, seed {settings["seed"]}. `pretraining.json` has
all settings, `pretraining.jsonl` the log ({seconds:,} s on one CPU core). To do it again:

    python -m demo pretrain {folder.name} --corpus FOLDER

| size | |
|---|---|
{sizes}
| vocabulary | {settings["vocabulary"]} |

## At the end of pretraining

Accuracy at the answer slot with the task named in words, 160 fresh texts a task (chance 0.50):

| task | accuracy |
|---|---|
{shares}

Weights are stored in fp16. They may be used freely, with a link to the project.
""",
        "utf-8",
    )
    return card


def _seconds(rows: list[str]) -> int:
    """Time of all stretches of a run that may have been stopped and taken up again."""
    times = [int(json.loads(row)["seconds"]) for row in rows]
    ends = [a for a, b in zip(times, [*times[1:], 0], strict=True) if b < a]
    return sum(ends)
