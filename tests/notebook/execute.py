"""Runs docs/example.ipynb as Jupyter would. As a program, it writes the outputs into the file:

python -m tests.notebook.execute
"""

import ast
import base64
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from core import charts
from core.base.settings import ROOT

EXAMPLE = ROOT / "docs" / "example.ipynb"


def cells(file: Path = EXAMPLE) -> list[dict[str, Any]]:
    """The code cells, in order."""
    found: list[dict[str, Any]] = json.loads(file.read_text("utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def run(file: Path = EXAMPLE) -> list[Any]:
    """The value of each cell's last expression; None where it ends in a statement."""
    names: dict[str, Any] = {}
    values = []
    for cell in cells(file):
        tree = ast.parse("".join(cell["source"]))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, str(file), "exec"), names)
        assert last is None or isinstance(last, ast.Expr)
        values.append(
            None if last is None else eval(compile(ast.Expression(last.value), str(file), "eval"),
                                           names)
        )  # fmt: skip
    return values


def small(png: bytes) -> bytes:
    """A picture of few colours."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").quantize(64).save(out, "PNG", optimize=True)
    return out.getvalue()


def shown(value: Any) -> dict[str, Any]:
    """What Jupyter keeps of a value."""
    if isinstance(value, pd.DataFrame):
        return {"text/html": value.to_html(), "text/plain": value.to_string()}
    if hasattr(value, "to_dict"):
        picture = base64.b64encode(small(charts.png(value))).decode()
        return {"image/png": picture, "text/plain": "<a chart>"}
    return {"text/plain": repr(value)}


def main() -> None:
    """Write the outputs into the notebook."""
    book = json.loads(EXAMPLE.read_text("utf-8"))
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    for i, (cell, value) in enumerate(zip(code, run(), strict=True), start=1):
        cell["execution_count"] = i
        cell["outputs"] = [] if value is None else [
            {"data": shown(value), "execution_count": i, "metadata": {},
             "output_type": "execute_result"}
        ]  # fmt: skip
    EXAMPLE.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
