"""What a measurement may request while it computes. The lab is one bench; tests may use another."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from core.backbones.base import Backbone
    from core.backbones.prompted import PromptedModel
    from core.base.measure import Artifact
    from core.base.prompts import Prompt, Step
    from core.base.specs import Pinned, Precision, Spec
    from core.tasks import Task
    from core.tasks.data import Examples

T = TypeVar("T")


class Bench(Protocol):
    """Tasks, data, models, and the answers on which a question depends."""

    def stored(self, spec: Spec) -> Any:
        """The stored part of an answer, one of those that the measurement `needs`."""

    def task(self, pin: Pinned, prompt: Prompt) -> Task:
        """The pinned task, as the prompt's family is asked it. Raises: BadInput if it is not what
        it was.
        """

    def examples(self, task: Task, split: str, limit: int | None = None) -> Examples:
        """Rows of a split, at most `limit`, drawn by a fixed seed. Raises: BadTask."""

    def backbone(self, prompt: Prompt, precision: Precision | None = None) -> Backbone:
        """The backbone of a prompt, in a precision or that of the prompt."""

    def has_dead_row(self, prompt: Prompt) -> bool:
        """Whether the first vector of a prompt never reaches the model."""

    def model(self, prompt: Prompt, task: Task, precision: Precision | None) -> PromptedModel:
        """The backbone behind a stored prompt, in a precision or that of the prompt."""

    def untuned(self, prompt: Prompt, task: Task) -> PromptedModel:
        """The backbone of a prompt that is not tuned yet, without vectors."""

    def once(self, what: Hashable, compute: Callable[[], T]) -> T:
        """What `compute` returns, kept in memory for the next measurement that rests on the same
        `what`; nobody may change it.
        """

    def report(self, spec: Spec, step: Step) -> None:
        """Publish a step of a tuning run to its observers."""

    def keep(self, spec: Spec, halfway: Artifact) -> None:
        """Keep how far a tuning run is, in place of what was kept before."""

    def halfway(self, spec: Spec) -> Artifact | None:
        """How far an interrupted tuning run got; None if it is to start from the beginning."""
