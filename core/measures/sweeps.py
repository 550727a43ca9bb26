"""Sets of questions: functions that return tuples of specs, and compute nothing."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.backbones.identity import is_embedded
from core.base.prompts import Prompt
from core.base.settings import Settings
from core.base.specs import Contrast, Pinned, Precision, Spec, Stack
from core.measures.activated import ActivatedSpec
from core.measures.attribution import AttributionSpec
from core.measures.dropped import DroppedSpec
from core.measures.evaluation import EvaluationSpec, Kind, Suppression
from core.measures.faithfulness import FaithfulnessSpec
from core.measures.predictivity import PredictivitySpec
from core.measures.questions import Positions
from core.measures.stability import Ranked, StabilitySpec
from core.measures.tuning import TuneSpec
from core.stats.neurons import Choose, Scope
from core.tasks import Task
from core.tasks.attacks import Attack, doses_of

SEEDS = (0, 1, 2, 3, 4)
PERMUTATIONS = 100
CURVES: tuple[Choose, ...] = ("causal", "skill", "random")  # what a suppression figure shows
IN_DECODER: tuple[Choose, ...] = ("causal", "random")  # predictivity is measured in the encoder
PAPER_FRACTIONS = (0.0, 0.01, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.15)
POINTS = 20  # at which the accuracy of a followed tuning run is measured
WIDE_FRACTIONS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 0.85, 1.0)


@dataclass(frozen=True, kw_only=True)
class TuningDefaults:
    """Default tuning settings, and the default number of random draws that skill neurons are
    compared with on a task and its adversarial version.
    """

    prompt_length: int
    learning_rate: dict[str, float]
    steps: int
    batch_size: int
    draws: int
    projector_width: int
    projector_steps: int


# The embedded backbones were pretrained with prefixes of three to eight positions.
EMBEDDED_DEFAULTS = TuningDefaults(
    prompt_length=8, learning_rate={"roberta": 0.01, "t5": 0.05}, steps=80, batch_size=32,
    draws=10, projector_width=128, projector_steps=400,
)  # fmt: skip
# Su et al. 2022 for backbones of base size and larger; they tune for many epochs.
PAPER_DEFAULTS = TuningDefaults(
    prompt_length=100,
    learning_rate={"roberta": 0.001, "bert": 0.001, "t5": 0.005},
    steps=1000,
    batch_size=16,
    draws=3,
    projector_width=768,
    projector_steps=4000,
)


def starts(
    prompts: Sequence[TuneSpec], sources: Mapping[str, Sequence[Prompt]]
) -> dict[str, tuple[TuneSpec, ...]]:
    """A task's tuning from every start, one run per prompt: `vocabulary`, `random`, `labels`, and
    the prompts of other tasks (by the name of the start, one per prompt). Tuning is followed in
    small steps.
    """
    every = max(1, prompts[0].steps // POINTS) if prompts else 1
    followed = [replace(p, evaluate_every=every) for p in prompts]
    plain: dict[str, tuple[TuneSpec, ...]] = {
        init: tuple(replace(p, init=init) for p in followed)
        for init in ("vocabulary", "random", "labels")
    }
    others = {
        name: tuple(replace(p, start=s) for p, s in zip(followed, found, strict=True))
        for name, found in sources.items()
    }
    return {**plain, **others}


def usual_sources(task: Task, tasks: Iterable[Task]) -> list[Task]:
    """Other tasks whose prompts are tried as a start: the first of its category, the last of
    another one.
    """
    others = [t for t in tasks if t.name != task.name]
    near = [t for t in others if t.category == task.category]
    far = [t for t in others if t.category != task.category]
    return [*near[:1], *far[-1:]]


def tuning_defaults(backbone: Pinned) -> TuningDefaults:
    """The tuning defaults of a backbone, by what it is: a copy elsewhere has the same."""
    embedded = is_embedded(backbone, Settings.from_env().assets)
    return EMBEDDED_DEFAULTS if embedded else PAPER_DEFAULTS


def standard_prompt(
    backbone: Pinned, family: str, task: Pinned, seed: int, **changes: Any
) -> TuneSpec:
    """The prompt that figures show by default; `changes` that are None are ignored."""
    usual = tuning_defaults(backbone)
    given = {name: value for name, value in changes.items() if value is not None}
    steps = given.get("steps", usual.steps)
    return TuneSpec(
        backbone=backbone,
        task=task,
        seed=seed,
        **{
            "prompt_length": usual.prompt_length,
            "learning_rate": usual.learning_rate[family],
            "batch_size": usual.batch_size,
            "steps": steps,
            "evaluate_every": min(20, -(-steps // 4)) if steps <= 400 else steps // 20,
            **given,
        },
    )


def measured_in(prompt: Prompt) -> Precision | None:
    """The precision of measurements, None the prompt's own. Embedded backbones are measured in
    fp64, because in fp32 an activation near its baseline may fall on either side of it, depending
    on the processor.
    """
    if prompt.precision == "fp64":
        return None
    return "fp64" if is_embedded(prompt.backbone, Settings.from_env().assets) else None


def own_evaluation(
    prompt: Prompt,
    task: Pinned,
    split: str = "validation",
    *,
    limit: int | None = None,
    precision: Precision | None = None,
    attack: Attack | None = None,
) -> EvaluationSpec:
    """A prompt on a task without suppression, on all examples unless there is a limit."""
    return EvaluationSpec(
        prompt=prompt, task=task, split=split, limit=limit,
        precision=precision or measured_in(prompt), attack=attack,
    )  # fmt: skip


def transfer_grid(
    prompts: Iterable[Prompt], targets: Iterable[tuple[Pinned, str]]
) -> tuple[EvaluationSpec, ...]:
    """Every prompt on every target (task, split). Source: Su et al. 2022."""
    columns = tuple(targets)
    return tuple(own_evaluation(p, task, split) for p in prompts for task, split in columns)


def activated(prompts: Iterable[Prompt]) -> tuple[ActivatedSpec, ...]:
    """Which neurons each prompt activates by itself."""
    return tuple(ActivatedSpec(prompt=p, precision=measured_in(p)) for p in prompts)


def dropped(prompt: Prompt, task: Pinned, split: str = "validation") -> DroppedSpec:
    """How accuracy falls when a prompt's vectors are left out."""
    return DroppedSpec(prompt=prompt, task=task, split=split, precision=measured_in(prompt))


def usual_words(task: Task, family: str) -> str:
    """What a prompt in words says unless the user writes another: the answer words as a question,
    such as `negative, positive?`.
    """
    return f"{', '.join(task.words(family))}?"


def predictivities(
    prompts: Iterable[tuple[Prompt, Pinned, str]],
    contrasts: Sequence[Contrast | None] = (None,),
    permutations: int = PERMUTATIONS,
    precision: Precision | None = None,
    attack: Attack | None = None,
) -> tuple[PredictivitySpec, ...]:
    """One measurement per (prompt, task, split) and binary question of the task."""
    return tuple(
        PredictivitySpec(
            prompt=p,
            task=task,
            split=s,
            contrast=c,
            permutations=permutations,
            precision=precision or measured_in(p),
            attack=attack,
        )
        for p, task, s in prompts
        for c in contrasts
    )


def attributions(
    prompts: Iterable[Prompt],
    task: Pinned,
    *,
    split: str = "train",
    limit: int | None = 300,
    precision: Precision | None = None,
    attack: Attack | None = None,
    stack: Stack = "encoder",
) -> tuple[AttributionSpec, ...]:
    """One measurement per prompt, on train rows unless another split is given."""
    return tuple(
        AttributionSpec(
            prompt=p, task=task, split=split, limit=limit,
            precision=precision or measured_in(p), attack=attack, stack=stack,
        )
        for p in prompts
    )  # fmt: skip


def faithfulness(attributions: Iterable[AttributionSpec]) -> tuple[FaithfulnessSpec, ...]:
    """How close each of these attributions is to suppressing single neurons."""
    return tuple(FaithfulnessSpec(attribution=asked) for asked in attributions)


@dataclass(frozen=True, kw_only=True)
class SimilaritySweep:
    """All questions that compare a backbone's prompts, and tell whether similar ones transfer."""

    prompts: tuple[Prompt, ...]
    grid: tuple[EvaluationSpec, ...]
    active: tuple[ActivatedSpec, ...]
    predictive: tuple[PredictivitySpec, ...]
    causal: tuple[AttributionSpec, ...]

    @property
    def everything(self) -> tuple[Spec, ...]:
        """All questions, the quick ones first."""
        return (*self.grid, *self.active, *self.predictive, *self.causal)


def similarity(
    prompts: Mapping[str, Sequence[Prompt]],
    places: Mapping[str, tuple[Pinned, str]],
    contrasts: Mapping[str, Sequence[Contrast | None]],
) -> SimilaritySweep:
    """Prompts, places to evaluate (task, split) and binary questions by task; a task without
    classes has no questions.
    """
    every = [p for found in prompts.values() for p in found]
    ranked = [t for t in prompts if contrasts[t]]
    return SimilaritySweep(
        prompts=tuple(every),
        grid=transfer_grid(every, places.values()),
        active=activated(every),
        predictive=tuple(
            spec
            for t in ranked
            for spec in predictivities(((p, *places[t]) for p in prompts[t]), contrasts[t])
        ),
        causal=tuple(s for t in ranked for s in attributions(prompts[t], places[t][0])),
    )


@dataclass(frozen=True, kw_only=True)
class SuppressionChoices:
    """The settings of a suppression curve, varied and fixed."""

    fractions: tuple[float, ...] = PAPER_FRACTIONS
    draws: int = 3
    kinds_of_neuron: tuple[Choose, ...] = ("skill", "random")
    scope: Scope = "layer"
    positions: Positions = "all"
    kind: Kind = "zero"
    noise: float = 0.1
    limit: int | None = 256
    precision: Precision | None = None
    attack: Attack | None = None
    stack: Stack = "encoder"


def suppression_sweep(
    prompts: Sequence[Prompt],
    ranking: tuple[PredictivitySpec, ...],
    task: Pinned,
    split: str,
    choices: SuppressionChoices,
    causal: tuple[AttributionSpec, ...] = (),
) -> tuple[EvaluationSpec, ...]:
    """The points of a curve, low fractions first, so that it grows from the left.

    Every seed's prompt is tested with the ranking that is the mean over seeds (docs/method.md). At
    fraction 0 nothing is suppressed: a plain evaluation with the same limit. Causal neurons are
    chosen by `causal`, the others by `ranking`.
    """
    specs = list[EvaluationSpec]()
    for fraction in choices.fractions:
        for prompt in prompts:
            plain = own_evaluation(
                prompt, task, split, limit=choices.limit, precision=choices.precision,
                attack=choices.attack,
            )  # fmt: skip
            if fraction == 0:
                specs.append(plain)
                continue
            for choose in choices.kinds_of_neuron:
                for draw in range(choices.draws if choose == "random" else 1):
                    # What does not matter is left out, so that the same point is the same question.
                    ranked = choose != "random" or choices.kind == "mean"
                    how = Suppression(
                        ranking=(causal if choose == "causal" else ranking) if ranked else (),
                        choose=choose,
                        fraction=fraction,
                        scope=choices.scope,
                        positions=choices.positions,
                        kind=choices.kind,
                        noise=choices.noise if choices.kind == "noise" else 0.1,
                        stack=choices.stack,
                        seed=draw,
                    )
                    specs.append(replace(plain, suppression=how))
    return tuple(specs)


@dataclass(frozen=True, kw_only=True)
class DoseSweep:
    """All questions about one attack at increasing doses, for one backbone's prompts on a task.

    `evaluations` by dose, 0 for clean data. `stability` by kind of neuron (`skill`, `causal`) and
    dose: do the clean neurons of this kind stay the same?
    """

    evaluations: dict[int, tuple[EvaluationSpec, ...]]
    stability: dict[Choose, dict[int, StabilitySpec]]

    @property
    def everything(self) -> tuple[Spec, ...]:
        """All questions, the quick ones first, then dose by dose."""
        doses = [d for d in self.evaluations if d]
        kept = (by_dose[d] for d in doses for by_dose in self.stability.values())
        return (*(s for specs in self.evaluations.values() for s in specs), *kept)


def dose_response(
    prompts: Sequence[Prompt],
    place: tuple[Pinned, str],
    contrasts: Sequence[Contrast | None],
    attack: Attack,
    doses: Sequence[int] | None = None,
    precision: Precision | None = None,
) -> DoseSweep:
    """An attack at several doses (its own does not matter; without any, the usual ones of its
    kind), dose 0 for clean data among them.

    Causal neurons are compared for tasks with two classes.
    """
    task, split = place
    asked = doses_of(attack.kind) if doses is None else doses
    struck = {d: replace(attack, dose=d) if d else None for d in sorted({0, *asked})}

    def compared(of: Callable[[Attack | None], tuple[Ranked, ...]]) -> dict[int, StabilitySpec]:
        return {
            dose: StabilitySpec(clean=of(None), adversarial=of(how), fractions=PAPER_FRACTIONS[1:])
            for dose, how in struck.items()
            if how is not None
        }

    def skill(how: Attack | None) -> tuple[Ranked, ...]:
        places = ((p, task, split) for p in prompts)
        return predictivities(places, contrasts, precision=precision, attack=how)

    def causal(how: Attack | None) -> tuple[Ranked, ...]:
        return attributions(prompts, task, split=split, precision=precision, attack=how)

    stability: dict[Choose, dict[int, StabilitySpec]] = {"skill": compared(skill)}
    if tuple(contrasts) == (None,):
        stability["causal"] = compared(causal)
    return DoseSweep(
        evaluations={
            dose: tuple(
                own_evaluation(p, task, split, precision=precision, attack=how) for p in prompts
            )
            for dose, how in struck.items()
        },
        stability=stability,
    )


@dataclass(frozen=True, kw_only=True)
class RobustnessSweep:
    """All questions that compare a task with its adversarial version, for one backbone's prompts.

    `suppression` is by where the neurons were found and where the prompt is tested, each `clean` or
    `adversarial`.
    """

    evaluations: tuple[EvaluationSpec, ...]
    clean: tuple[PredictivitySpec, ...]
    adversarial: tuple[PredictivitySpec, ...]
    stability: StabilitySpec
    suppression: dict[tuple[str, str], tuple[EvaluationSpec, ...]]

    @property
    def everything(self) -> tuple[Spec, ...]:
        """All questions without repetition, the quick ones first."""
        curves = (spec for sweep in self.suppression.values() for spec in sweep)
        return tuple(
            dict.fromkeys(
                (*self.evaluations, *self.clean, *self.adversarial, self.stability, *curves)
            )
        )


def robustness(
    prompts: Sequence[Prompt],
    clean: tuple[Pinned, str],
    adversarial: tuple[Pinned, str],
    contrasts: Sequence[Contrast | None] = (None,),
    choices: SuppressionChoices | None = None,
) -> RobustnessSweep:
    """Both (task, split) pairs measured with the same prompts. Source: Ackermann & Ohmer 2024.

    Random choices of neurons differ by several points of accuracy, so `choices` use
    `TuningDefaults.draws` draws by default.
    """
    if choices is None and prompts:
        choices = SuppressionChoices(draws=tuning_defaults(prompts[0].backbone).draws)
    places = {"clean": clean, "adversarial": adversarial}
    rankings = {
        name: predictivities(((p, *place) for p in prompts), contrasts)
        for name, place in places.items()
    }
    return RobustnessSweep(
        evaluations=transfer_grid(prompts, places.values()),
        clean=rankings["clean"],
        adversarial=rankings["adversarial"],
        stability=StabilitySpec(
            clean=rankings["clean"],
            adversarial=rankings["adversarial"],
            fractions=PAPER_FRACTIONS[1:],
        ),
        suppression={
            (found, tested): suppression_sweep(
                prompts, rankings[found], *places[tested], choices or SuppressionChoices()
            )
            for found in places
            for tested in places
        },
    )
