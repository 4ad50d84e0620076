"""Runs a test's other half in a Python that has PyTorch; where there is none, the test is skipped by name."""

import os
import pathlib
import subprocess
import sys

SKIPPED = 77


def pythons():
    yield os.environ.get("TRAINYARD_TORCH_PYTHON")
    yield str(pathlib.Path(__file__).resolve().parents[2] / "build" / "venv" / "bin" / "python")
    yield sys.executable


def main(check):
    """Calls check(first argument of the command line) there, and exits as it does."""
    if sys.argv[-1] == "here":
        check(sys.argv[1])
    for python in pythons():
        if python and os.path.exists(python) and subprocess.run(
                [python, "-c", "import torch"], stdin=subprocess.DEVNULL, capture_output=True).returncode == 0:
            command = [python, "-B", "-W", "ignore", sys.argv[0], sys.argv[1], "here"]
            sys.exit(subprocess.run(command).returncode)
    print("no Python with PyTorch; TRAINYARD_TORCH_PYTHON names one")
    sys.exit(SKIPPED)
