"""What a task is: its classes or how its answers are written, its data, its answer words."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os.path import isfile  # unlike Path's, false for a name that no file can have
from pathlib import Path

from core.base.errors import BadTask
from core.base.settings import Places
from core.base.specs import Contrast


@dataclass(frozen=True, kw_only=True)
class Template:
    """How an example's texts are joined, e.g. `<s>{a}</s>{b}</s>`; literals may be special."""

    single: str
    pair: str


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Column names; `text_b` None for single texts, `attack` None where nothing was attacked."""

    text_a: str = "text"
    text_b: str | None = None
    label: str = "label"
    attack: str | None = None


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A dataset of the hub. `splits`: our name -> the hub's; `files`: our name -> a pattern of
    files, where a repository does not say itself what its splits are.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    splits: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The answer is one of some words, a class each: answer words by family, in class order."""

    verbalizer: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Text:
    """The answer is written: at most so many tokens, scored by one of `core.tasks.metrics`. It ends
    at the model's end-of-text token or before `stop`, if that is not empty.
    """

    max_new_tokens: int
    metric: str
    stop: str = ""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is asked. `values[i]` is what the label column holds for class i; a task whose answers
    are written has no classes, and its label column holds the texts to be written.

    `remote` says where absent files can be fetched, `note` what is special about a local copy;
    `places` is where the tasks it refers to by name are looked for.
    """

    name: str
    title: str
    category: str
    about: str
    source: str
    labels: tuple[str, ...]
    values: tuple[str, ...]
    fields: Fields
    splits: Mapping[str, Path]
    answer: Choice | Text
    templates: Mapping[str, Template] = field(default_factory=dict)
    adversarial_of: str | None = None
    remote: Remote | None = None
    note: str = ""
    file: Path
    places: Places = field(repr=False)

    @property
    def ready(self) -> bool:
        """Whether the data of every split are on this machine."""
        return all(isfile(path) for path in self.splits.values())

    @property
    def pair(self) -> bool:
        """Whether an example is two texts."""
        return self.fields.text_b is not None

    @property
    def evaluation_split(self) -> str:
        """Where accuracy and predictivity are measured unless one says otherwise."""
        return next(s for s in ("validation", "dev", "test", *self.splits) if s in self.splits)

    def words(self, family: str) -> tuple[str, ...]:
        """Answer words of a backbone family, in class order; none where answers are written.

        Raises: BadTask.
        """
        if isinstance(self.answer, Text):
            return ()
        verbalizer = self.answer.verbalizer
        try:
            return verbalizer.get(family) or verbalizer["default"]
        except KeyError:
            raise BadTask(
                f"{self.file} has no answer words for {family}; add `{family} = [...]` or "
                "`default = [...]` under [verbalizer]."
            ) from None

    def need_classes(self, what: str) -> None:
        """Raises: BadTask where answers are written."""
        if isinstance(self.answer, Text):
            raise BadTask(f"{self.title} has written answers; {what} needs a task with classes.")

    def contrasts(self) -> tuple[Contrast | None, ...]:
        """The task's binary questions: itself, or each class against the rest and each pair.

        Raises: BadTask where answers are written.
        """
        self.need_classes("predictivity")
        n = len(self.labels)
        if n == 2:
            return (None,)
        rest = [
            Contrast(negative=tuple(j for j in range(n) if j != i), positive=(i,)) for i in range(n)
        ]
        pairs = [Contrast(negative=(i,), positive=(j,)) for i in range(n) for j in range(i + 1, n)]
        return (*rest, *pairs)

    def contrast_name(self, contrast: Contrast | None) -> str:
        """E.g. `positive` against `negative`, or `neutral` against `rest`."""
        negative, positive = self.sides(contrast)
        return f"{positive} | {negative}"

    def sides(self, contrast: Contrast | None) -> tuple[str, str]:
        """What a binary question tells apart: the class that counts as 0, and the one as 1."""
        if contrast is None:
            return self.labels[0], self.labels[1]
        single = len(contrast.negative) == 1
        negative = self.labels[contrast.negative[0]] if single else "rest"
        return negative, self.labels[contrast.positive[0]]
