"""Tables as charts, one function per figure; nothing else of the project is imported.

Every figure uses one hue per backbone and one line style per kind of neuron. `dark` chooses the ink
that is legible on the page's background; files are always drawn for a light page.
"""

from core.charts.curves import convergence, suppression_curves, tuning_accuracy, tuning_loss
from core.charts.differences import category_means, claim_differences
from core.charts.distributions import boxes_begin, boxes_over_bars, layer_profile
from core.charts.dose import claim_points, dose_accuracy, dose_overlap
from core.charts.flips import WORD_STARTS, answer_states, neuron_along
from core.charts.heatmaps import correlation_heatmap, shared_heatmap, transfer_heatmap
from core.charts.indicators import (
    advice_tested,
    indicator_agreement,
    indicator_points,
    likeness_heatmap,
    prompt_map,
    transfer_points,
)
from core.charts.look import Figure, Head, Look, Unchecked, below, png, quickly, svg, titled
from core.charts.neurons import (
    activation_histogram,
    contribution,
    probabilities,
    profile,
    tokens,
    votes,
    word_directions,
)
from core.charts.projection import projected_accuracy, projection_heatmap
from core.charts.prompts import fewer, row_matrix, without_each, works_on
from core.charts.rankings import (
    attributed_exact,
    layer_shares,
    rank_rank,
    spearman_by_layer,
    stability,
)
from core.charts.robustness import (
    accuracy_points,
    cross_curves,
    highest_bar,
    overlap_curves,
    overlap_layers,
    percentile_histogram,
    stability_points,
)
from core.charts.ways import COSTS, way_costs, way_without

__all__ = [
    "COSTS",
    "WORD_STARTS",
    "Figure",
    "Head",
    "Look",
    "Unchecked",
    "accuracy_points",
    "activation_histogram",
    "advice_tested",
    "answer_states",
    "attributed_exact",
    "below",
    "boxes_begin",
    "boxes_over_bars",
    "category_means",
    "claim_differences",
    "claim_points",
    "contribution",
    "convergence",
    "correlation_heatmap",
    "cross_curves",
    "dose_accuracy",
    "dose_overlap",
    "fewer",
    "highest_bar",
    "indicator_agreement",
    "indicator_points",
    "layer_profile",
    "layer_shares",
    "likeness_heatmap",
    "neuron_along",
    "overlap_curves",
    "overlap_layers",
    "percentile_histogram",
    "png",
    "probabilities",
    "profile",
    "projected_accuracy",
    "projection_heatmap",
    "prompt_map",
    "quickly",
    "rank_rank",
    "row_matrix",
    "shared_heatmap",
    "spearman_by_layer",
    "stability",
    "stability_points",
    "suppression_curves",
    "svg",
    "titled",
    "tokens",
    "transfer_heatmap",
    "transfer_points",
    "tuning_accuracy",
    "tuning_loss",
    "votes",
    "way_costs",
    "way_without",
    "without_each",
    "word_directions",
    "works_on",
]
