"""What the embedded default shows, as tables: the numbers of docs/method.md, from shipped answers.

python -m demo findings            every table
python -m demo findings NAME       one of them
"""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from core.base.settings import EMBEDDED, PLAIN
from core.figures import (
    advice,
    faithful,
    indicators,
    projection,
    prompt,
    queries,
    rankings,
    transferred,
    ways,
)
from core.figures import starts as beginnings
from core.figures.robustness import claim, dose
from core.lab.lab import Lab
from core.measures import projections, sweeps
from core.measures.evaluation import EvaluationSpec
from core.measures.nearest import NearestSpec
from core.measures.projector import By, ProjectorSpec
from core.measures.tuning import TuneSpec
from core.measures.ways import WaySpec
from core.stats.neurons import Ranking
from core.tasks import Task, load_task
from core.tasks.attacks import KINDS, Kind
from demo import rebuild
from demo.reached import aims

TOP = 0.05  # of each layer's neurons
Table = Callable[[Lab], pd.DataFrame]


def _there(lab: Lab) -> list[str]:
    return [b for b in lab.models.embedded() if b in PLAIN]


def _titled(lab: Lab, table: pd.DataFrame) -> pd.DataFrame:
    return table.replace({t.name: t.title for t in rebuild.tasks()[1]})


def accuracy(lab: Lab) -> pd.DataFrame:
    """Own prompts on every task."""
    specs = [
        sweeps.own_evaluation(p, lab.pin(t, b), t.evaluation_split)
        for b in _there(lab)
        for t in rebuild.tasks()[1]
        for p in rebuild.prompts(lab, b, t)
    ]
    return queries.accuracies(lab.store, specs)


def suppression(lab: Lab) -> pd.DataFrame:
    """Accuracy with 5 and 15% of each layer's neurons suppressed, by kind."""
    parts = []
    for b in lab.models.embedded():
        for t in rebuild.tasks()[0]:
            specs = [s for s in rebuild.suppressed(lab, b, t) if isinstance(s, EvaluationSpec)]
            table = queries.suppression_curve(lab.store, specs)
            parts.append(table[table.fraction.isin((0.0, 0.05, 0.15))].assign(task=t.name))
    return pd.concat(parts, ignore_index=True)


def _struck(lab: Lab, task: Task) -> dict[str, sweeps.DoseSweep]:
    found = [b for b in EMBEDDED if b in lab.models.embedded()]
    return {b: rebuild.struck(lab, b, task) for b in found}


def typos(lab: Lab) -> pd.DataFrame:
    """Accuracy under typos, every task."""
    clean = rebuild.tasks()[0]
    parts = [dose.accuracy(lab.store, _struck(lab, t)).assign(task=t.name) for t in clean]
    return pd.concat(parts, ignore_index=True)


def kept(lab: Lab) -> pd.DataFrame:
    """Neurons found again under typos, on the task that pages open with."""
    return dose.overlap(lab.store, _struck(lab, load_task(rebuild.FIRST)), TOP)


def _points(lab: Lab, kinds: Sequence[Kind] = ("typo",)) -> pd.DataFrame:
    clean = rebuild.tasks()[0]
    names = lab.models.embedded() if list(kinds) == ["typo"] else _there(lab)
    every: claim.Asked = {
        (b, t.title, str(kind)): rebuild.struck(lab, b, t, kind)
        for kind in kinds
        for t in clean
        for b in names
    }
    return claim.points(lab.store, every, TOP, {t.title: t.category for t in clean})


def attacks(lab: Lab) -> pd.DataFrame:
    """What each kind of attack leaves of accuracy and of neurons, means over tasks: the plain pair,
    by kind and dose; tasks: those with a value of both.
    """
    shown = claim.usable(_points(lab, KINDS))
    by = shown.groupby(["neurons", "backbone", "attack", "dose"], sort=False)
    means = by[["accuracy", "accuracy_kept", "kept"]].mean()
    return means.assign(tasks=by.task.nunique()).reset_index()


def slopes_of_all(lab: Lab) -> pd.DataFrame:
    """Neurons kept on accuracy kept over every kind of attack, the plain pair."""
    return claim.slopes(_points(lab, KINDS))


def slopes(lab: Lab) -> pd.DataFrame:
    """Neurons kept on accuracy kept, within each backbone."""
    return claim.slopes(_points(lab))


def differences(lab: Lab) -> pd.DataFrame:
    """Accuracy and neurons kept, between backbones at equal dose."""
    return claim.differences(_points(lab))


def _ranked(lab: Lab, b: str, t: Task) -> tuple[Ranking, Ranking]:
    own = rebuild.prompts(lab, b, t)
    skill = rankings.mean_of(lab.store, rebuild.measured(lab, b, [t]))
    causal = rankings.mean_of(lab.store, sweeps.attributions(own, lab.pin(t, b)))
    assert skill is not None
    assert causal is not None
    return skill, causal


def causal(lab: Lab) -> pd.DataFrame:
    """How many skill neurons are causal, and the rank correlation by task (mean, lowest and highest
    layer).
    """
    rows = []
    for b in _there(lab):
        for t in rebuild.tasks()[0]:
            skill, other = _ranked(lab, b, t)
            common = rankings.compare(skill.top(TOP), other.top(TOP))
            layers = rankings.by_layer({b: skill}, {b: other}).spearman
            rows.append(
                (b, t.name, common.shared, common.first, common.chance.mean, layers.mean(),
                 layers.min(), layers.max())
            )  # fmt: skip
    names = "backbone task shared skill chance spearman lowest highest".split()  # noqa: SIM905
    return pd.DataFrame(rows, columns=names)


def faithfulness(lab: Lab) -> pd.DataFrame:
    """Attribution against suppressing one neuron at a time."""
    first = load_task(rebuild.FIRST)
    asked = {
        b: sweeps.faithfulness(
            sweeps.attributions(rebuild.prompts(lab, b, first)[:1], lab.pin(first, b))
        )
        for b in _there(lab)
    }
    table = faithful.agreement(faithful.neurons(lab.store, asked))
    return table[table.layer == -1]


def _grid(lab: Lab) -> pd.DataFrame:
    clean = rebuild.tasks()[0]
    specs = [
        s
        for b in _there(lab)
        for s in sweeps.transfer_grid(
            [p for t in clean for p in rebuild.prompts(lab, b, t)],
            [(lab.pin(t, b), t.evaluation_split) for t in clean],
        )
    ]
    return queries.transfer(lab.store, specs, relative=True, clean=lab.clean_name)


def transfer(lab: Lab) -> pd.DataFrame:
    """Correlation of transfer with shared neurons."""
    clean = rebuild.tasks()[0]
    predictive = [s for b in _there(lab) for s in rebuild.measured(lab, b, clean)]
    causes = [
        s
        for b in _there(lab)
        for t in clean
        for s in sweeps.attributions(rebuild.prompts(lab, b, t), lab.pin(t, b))
    ]
    found = {
        "skill": queries.rankings(lab.store, predictive, clean=lab.clean_name),
        "causal": queries.rankings(lab.store, causes, clean=lab.clean_name),
    }
    table = transferred.pairs(_grid(lab), found, TOP)
    category = {t.name: t.category for t in clean}
    same = table.source_task.map(category) == table.target_task.map(category)
    return transferred.correlations(table.assign(same=same))


def _pairs(lab: Lab) -> pd.DataFrame:
    clean = rebuild.tasks()[0]
    parts = []
    for b in _there(lab):
        sweep = sweeps.similarity(
            {t.name: rebuild.prompts(lab, b, t) for t in clean},
            {t.name: (lab.pin(t, b), t.evaluation_split) for t in clean},
            {t.name: t.contrasts() for t in clean},
        )
        parts.append(indicators.of_everything(lab.store, b, sweep, clean=lab.clean_name))
    likeness = pd.concat(parts, ignore_index=True)
    return indicators.joined(likeness, _grid(lab), {t.name: t.category for t in clean})


def transferability(lab: Lab) -> pd.DataFrame:
    """Correlation of transfer with each indicator."""
    return indicators.agreement(_pairs(lab))


def advised(lab: Lab) -> pd.DataFrame:
    """What advice gains, by leaving each task out."""
    return advice.gained(advice.tested(_pairs(lab)))


def vectors(lab: Lab) -> pd.DataFrame:
    """Per backbone and task: vectors still nearest to their start (all seeds), the largest loss
    without one vector, and accuracy with all and with none (seed 0).
    """
    rows = []
    for b in _there(lab):
        for t in rebuild.tasks()[0]:
            own = rebuild.prompts(lab, b, t)
            near = [prompt.words(lab.store, NearestSpec(prompt=p), "cosine") for p in own]
            dropped = sweeps.dropped(own[0], lab.pin(t, b), t.evaluation_split)
            each, curve = (f(lab.store, dropped) for f in (prompt.without_each, prompt.fewer))
            rows.append(
                (b, t.name, sum(int(n.unmoved.sum()) for n in near), sum(map(len, near)),
                 each.effect.max(), curve.accuracy.iloc[0], curve.accuracy.iloc[-1])
            )  # fmt: skip
    names = "backbone task unmoved vectors largest all none".split()  # noqa: SIM905
    return pd.DataFrame(rows, columns=names)


def _projected(
    lab: Lab, b: str
) -> tuple[dict[str, str], Mapping[By, ProjectorSpec], projection.Rights]:
    """Task -> its group, the projectors onto a backbone, and what their prompts get right."""
    clean = rebuild.tasks()[0]
    learned = projections.learned_by_default(clean)
    other = next(name for name in PLAIN if name != b)

    def tuned(name: str, found: list[Task]) -> list[TuneSpec]:
        return [p for t in found for p in rebuild.prompts(lab, name, t)]

    found = {
        by: projections.projector(tuned(other, learned), tuned(b, learned), by)
        for by in projections.WAYS
    }
    asked = {
        t.title: projections.questions(
            found, (lab.pin(t, b), t.evaluation_split), tuned(other, [t]), tuned(b, [t])
        )
        for t in clean
    }
    group = projection.groups({t.title: t.category for t in clean}, [t.title for t in learned])
    return group, found, projection.read(lab.store, asked)


def projected(lab: Lab) -> pd.DataFrame:
    """Accuracy of projected prompts, by task and kind."""
    parts = []
    for b in _there(lab):
        group, _, right = _projected(lab, b)
        parts.append(projection.accuracies(right, group).assign(target=b))
    return pd.concat(parts, ignore_index=True)


def gains(lab: Lab) -> pd.DataFrame:
    """What projecting gains over random tokens projected in the same way."""
    parts = []
    for b in _there(lab):
        group, found, right = _projected(lab, b)
        parts += [
            projection.gain(right, group, by, f"{by}-random").assign(target=b) for by in found
        ]
    return pd.concat(parts, ignore_index=True)


def compared(lab: Lab) -> pd.DataFrame:
    """Ways to tune: accuracy and cost."""
    return ways.compared(lab.store, _ways(lab))


def without(lab: Lab) -> pd.DataFrame:
    """Ways to tune: accuracy lost without the prompts' neurons."""
    return ways.without(lab.store, _ways(lab))


def _ways(lab: Lab) -> list[WaySpec]:
    first = load_task(rebuild.FIRST)
    return [
        s
        for b in _there(lab)
        for s in rebuild.tuned_otherwise(lab, b, first)
        if isinstance(s, WaySpec)
    ]


def starts(lab: Lab) -> pd.DataFrame:
    """How much sooner tuning is done from each start."""
    first, clean = load_task(rebuild.FIRST), rebuild.tasks()[0]
    parts = []
    for b in _there(lab):
        runs = beginnings.histories(lab.store, rebuild.from_starts(lab, b, first, clean))
        parts.append(beginnings.speed(runs).assign(backbone=b))
    return pd.concat(parts, ignore_index=True)


TABLES: Mapping[str, Table] = {
    f.__name__: f
    for f in (
        aims, accuracy, suppression, typos, attacks, kept, slopes, slopes_of_all, differences,
        causal, faithfulness, transfer, transferability, advised, vectors, projected, gains,
        compared, without, starts,
    )
}  # fmt: skip


def tables(lab: Lab, name: str | None = None) -> dict[str, pd.DataFrame]:
    """Every table, or one of them."""
    return {n: _titled(lab, make(lab)) for n, make in TABLES.items() if name in (None, n)}
