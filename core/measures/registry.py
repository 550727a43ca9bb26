"""All measurements, by the class of their question; a new one takes a file here and a line."""

from core.base.measure import Measure
from core.base.specs import Spec
from core.measures.ablation import ABLATION
from core.measures.activated import ACTIVATED
from core.measures.activations import ACTIVATIONS
from core.measures.attacked import WORST
from core.measures.attribution import ATTRIBUTION
from core.measures.dropped import DROPPED
from core.measures.evaluation import EVALUATION
from core.measures.faithfulness import FAITHFULNESS
from core.measures.nearest import NEAREST
from core.measures.predictivity import PREDICTIVITY
from core.measures.projected import PROJECTED
from core.measures.projector import PROJECTORS
from core.measures.prompts import IMPORTED
from core.measures.random_words import RANDOM
from core.measures.stability import STABILITY
from core.measures.tuning import TUNED
from core.measures.ways import WAY
from core.measures.words import WORDS

MEASURES: dict[type[Spec], Measure] = {
    measure.spec: measure
    for measure in (
        TUNED, IMPORTED, PREDICTIVITY, EVALUATION, ACTIVATIONS, ABLATION, STABILITY,
        ATTRIBUTION, WORST, FAITHFULNESS, ACTIVATED, NEAREST, DROPPED, WORDS,
        PROJECTORS, PROJECTED, RANDOM, WAY,
    )
}  # fmt: skip
