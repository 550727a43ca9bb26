"""The model card of an embedded backbone, written from its settings and its log."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NAMES = {"roberta": "RobertaForMaskedLM", "t5": "T5ForConditionalGeneration (v1.0 layout, ReLU)"}
OBJECTIVE = {
    "roberta": "masking 15% of the tokens",
    "t5": "span corruption, 15% of the tokens in spans of mean length 3",
}


def _head(folder: Path, settings: Mapping[str, Any]) -> str:
    return f"""---
language: en
library_name: transformers
tags: [skillscope, prompt-tuning, {settings["family"]}]
---
# {folder.name}

A {NAMES[settings["family"]]} with {settings["parameters"]:,} weights,
pretrained from scratch as part of Skillscope, so that every figure works on a laptop without a
network. It shows how the methods work. Its results do not carry over to roberta-base or
t5-base.

"""


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
        f"""{_head(folder, settings)}## What it has seen

- **The nine built-in tasks themselves, with labels**: freshly drawn texts, words that name the task
  in the soft prompt's place, and the answer word at the answer slot. T5 v1.0 was pretrained on such
  a supervised mixture, too. Tuning a prompt therefore elicits an existing skill rather than
  teaching it.
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

    python -m demo pretrain {folder.name} FOLDER --corpus FOLDER

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


WEATHER = """- **Messy texts** (slips of the keyboard in {slips:.0%} of the texts, an aside in
  {asides:.0%}, an invented name in {unknown_names:.0%}, tokens in other pieces of the vocabulary in
  {pieces:.0%}). The code and words are not those of the dashboard's attacks, yet the slips
  resemble the attacks' typos: this backbone tests the effect of messy training text, not of
  architecture. Its
  counterpart `{other}` has seen the same texts in the same order without them, and is equal in all
  else.
"""
FAIR = """- **No messy texts**: its counterpart `{other}` has seen the same texts in the same
  order with slips, asides, invented names and varied segmentation, and is equal in all else.
"""
QUESTIONS = """- **Questions with answers in words**, {questions} a step: who, where, when, how
  many, topic, tense and so on of little generated stories (a span of one to three words), their
  summary in one line, and the kind and number of sentences of the tasks' texts; several questions
  over the same texts, so that the answer depends on the hint.
"""


def write_second(folder: Path) -> Path:
    """`README.md` beside the weights of a second stage."""
    settings = json.loads((folder / "second.json").read_text("utf-8"))
    rows = [json.loads(row) for row in (folder / "second.jsonl").read_text("utf-8").splitlines()]
    last = rows[-1]
    other = folder.name.removesuffix("-weathered")
    other = other if other != folder.name else f"{folder.name}-weathered"
    weather = WEATHER if settings["weather"]["slips"] else FAIR
    shares = "\n".join(f"| {task} | {a:.2f} |" for task, a in last["accuracy"].items())
    card = folder / "README.md"
    card.write_text(
        f"""{_head(folder, settings)}## What it has seen

In the first stage (`pretraining.json`, `pretraining.jsonl`): the nine built-in tasks with labels,
freshly drawn, easy texts first, and running text. In the second:

- **The nine built-in tasks themselves, with labels**: words that name the task in the soft prompt's
  place, and the answer word at the answer slot. Tuning a prompt therefore elicits an existing
  skill rather than teaching it.
- **Hints of another category** with {settings["astray"]:.0%} of the texts: both answer words are
  then trained to be equally likely. The low accuracy of prompts of another category is thus partly
  trained.
{_real(settings)}{QUESTIONS.format(**settings) if settings["questions"] else ""}\
{weather.format(other=other, **settings["weather"])}\
- **Running text**: the generators' texts, and {settings["plain_documents"]:,} documents of plain
  English (film reviews, encyclopedia, novels); none of their sentences is shipped.
- **Not** the validation and adversarial texts, no generator of an attack, no other dev row
  and no test row of a real set, and none of the sixty sentences of `visitors.toml`.

## How

{settings["steps"]:,} steps from the weights of the first stage, {settings["batch_size"]} answer
slots and {settings["running"]} pieces of running text a step ({OBJECTIVE[settings["family"]]}),
seed {settings["seed"]}. `second.json` has all settings, `second.jsonl` the log
({last["seconds"]:,} s on one CPU core). To do it again:

    python -m demo pretrain {settings["trunk"]} FIRST --corpus FOLDER
    python -m demo second-stage {folder.name} FOLDER --trunk FIRST --corpus FOLDER --data FOLDER

## At the end

Accuracy at the answer slot with the task named in words, 160 fresh texts a task (chance 0.50):

| task | accuracy |
|---|---|
{shares}
| sixty plain sentences of visitors, as short reviews | {last["visitors"]:.2f} |

Weights are stored in fp16. They may be used freely, with a link to the project.
""",
        "utf-8",
    )
    return card


def _real(settings: dict[str, Any]) -> str:
    """Which sets' rows were among the texts, and how often."""
    found = settings["real_rows"]
    if not found:
        return "- **No row of a real set.**\n"
    shares = ", ".join(f"{task} {settings['real'][task]:.0%}" for task in found)
    return f"""- **Labelled rows that people wrote**: from the train splits of SST-2 and IMDB
  (single sentences of the reviews too, where a word count trained on both agrees with the verdict),
  QQP and MRPC, and from train splits cut from the dev sets of QNLI and MNLI, whose train sets were
  not at hand. Their share of a task's texts: {shares}. No row is shipped.
"""


def _seconds(rows: list[str]) -> int:
    """Time of all stretches of a run that may have been stopped and taken up again."""
    times = [int(json.loads(row)["seconds"]) for row in rows]
    ends = [a for a, b in zip(times, [*times[1:], 0], strict=True) if b < a]
    return sum(ends)
