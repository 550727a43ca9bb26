"""What was computed here: every measurement has a name that a reader understands."""

from core.figures import cached
from core.measures.registry import MEASURES


def test_every_measurement_is_listed_by_a_title_or_deleted_elsewhere() -> None:
    tables = {measure.table for measure in MEASURES.values()}
    assert set(cached.TITLES) == tables - set(cached.NOT_MEASURED)
    assert set(cached.NOT_MEASURED) <= tables
    assert len(set(cached.TITLES.values())) == len(cached.TITLES)
