"""Shipped numbers, recomputed with each instruction set of this processor and 1 and 2 threads.

`make instructions`, or `python -m tests.instruction_sets [NAME ...]`. Takes minutes a run.

Torch (`ATEN_CPU_CAPABILITY`), MKL (`MKL_ENABLE_INSTRUCTIONS`, Intel's processors only) and oneDNN
(`ONEDNN_MAX_CPU_ISA`) choose by the processor unless these variables hold them back. They are read
once, so each run is a process of its own.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from core.base.settings import ROOT

ALL = ("ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "ONEDNN_MAX_CPU_ISA")
# Name -> what torch, MKL and oneDNN may use; None: whatever the processor has.
SETS = {
    "default": ("default", "SSE4_2", "SSE41"),
    "default-torch": ("default", None, None),
    "avx2": ("avx2", "AVX2", "AVX2"),
    "avx2-torch": ("avx2", None, None),
    "avx512": ("avx512", "AVX512", "AVX512_CORE"),
    "processor": (None, None, None),
}
LEVELS = ("default", "avx2", "avx512")
THREADS = (1, 2)


def environment(name: str) -> dict[str, str]:
    """This process's environment, with the libraries held to a set."""
    kept = {k: v for k, v in os.environ.items() if k not in ALL}
    return kept | {k: v for k, v in zip(ALL, SETS[name], strict=True) if v is not None}


def highest() -> str:
    """What this processor has, as torch calls it."""
    code = "import torch; print(torch.backends.cpu.get_cpu_capability().lower())"
    run = [sys.executable, "-c", code]
    found = subprocess.run(
        run, env=environment("processor"), capture_output=True, text=True, check=True
    ).stdout.strip()
    return found if found in LEVELS else "default"  # other makers' processors have other names


def lacking(name: str, has: str) -> bool:
    """Whether torch would use instructions that this processor does not have."""
    level = SETS[name][0]
    return level is not None and LEVELS.index(level) > LEVELS.index(has)


def passes(name: str, threads: int, failures: Path) -> bool:
    """Run the tests that recompute shipped numbers."""
    given = {
        "SKILLSCOPE_THREADS": str(threads), "TEST_FAILURES": str(failures), "TEST_THOROUGH": "1"
    }  # fmt: skip
    tests = ["tests/demo/test_demo.py", "-k", "recomputed or again", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *tests], cwd=ROOT, env=environment(name) | given
    )
    return done.returncode == 0


def main(names: list[str]) -> int:
    """Exit code 0 if all runs pass, 1 if one fails, 2 for an unknown set."""
    if unknown := [n for n in names if n not in SETS]:
        print(f"There is no set called {', '.join(unknown)}; known: {', '.join(SETS)}.")
        return 2
    has, lines = highest(), []
    with tempfile.TemporaryDirectory() as folder:
        failures = Path(folder) / "failures"
        failures.touch()
        for name in names or SETS:
            if lacking(name, has):
                lines.append(f"{name}: skipped; this processor has no {SETS[name][0].upper()}.")
                continue
            for threads in THREADS:
                print(f"\n=== {name}, threads: {threads}", flush=True)
                outcome = "passed" if passes(name, threads, failures) else "FAILED"
                lines.append(f"{name}, threads: {threads}: {outcome}")
        print("", *lines, failures.read_text("utf-8"), sep="\n", end="")
    return int(any(line.endswith("FAILED") for line in lines))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
