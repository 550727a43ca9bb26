"""A page through Streamlit's AppTest."""

import json
from functools import lru_cache

import pandas as pd
import pyarrow as pa
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from core.base.settings import EMBEDDED, ROOT

PAGES = (
    "overview", "transfer", "transferability", "projection", "ways", "predictivity", "correlation",
    "suppression", "robustness", "flips", "rankings", "neuron", "playground", "tuning", "library",
    "prompt",
)  # fmt: skip
ODD = "**Odd** ![x](http://evil.example/x.png) <img src=x> $x$ :red[x] [x](y)"

# At each run, AppTest looks for components among all installed packages: a quarter of a second.
manifest_scanner.scan_component_manifests = lru_cache(maxsize=1)(  # type: ignore[assignment]
    manifest_scanner.scan_component_manifests
)


def run(page: str, **choices: object) -> AppTest:
    file = "app.py" if page == "overview" else f"pages/{page}.py"
    test = AppTest.from_file(str(ROOT / file), default_timeout=60)
    for name, value in choices.items():
        test.query_params[name] = value
    return test.run()


def charts(test: AppTest) -> list[dict]:
    return [json.loads(c.proto.spec) for c in test.get("vega_lite_chart")]


def tables(test: AppTest, figure: int) -> list[pd.DataFrame]:
    """The data of one of the figures."""
    found = test.get("vega_lite_chart")[figure].proto.datasets
    return [pa.ipc.open_stream(bytes(d.data.data)).read_pandas() for d in found]


def headed(test: AppTest) -> list[str]:
    """The backbones that have a figure of their own: headings, or the bold begin of a sentence."""
    bold = [m.value.split("**")[1] for m in test.markdown if m.value.startswith("**")]
    return [name for name in (*(h.value for h in test.subheader), *bold) if name in EMBEDDED]


def words(test: AppTest) -> str:
    return " ".join(m.value for m in test.markdown)
