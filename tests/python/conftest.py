"""What every test of the Python package may use. The package is the installed one, never the source folder."""

import os
import sys
from pathlib import Path

import elver
import pytest

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests" / "golden"
QUESTION = "What is 2+2?"
ANSWER = "The answer to this classic math problem is 4."
PROMPT_IDS = [504, 3575, 282, 4649, 314]  # The capital of France is


@pytest.fixture(scope="session")
def model_path():
    """SmolLM2-135M-Instruct, as cmake/fetch_model.py fetches it."""
    path = os.environ.get("ELVER_TEST_MODEL")
    if not path:
        pytest.skip("ELVER_TEST_MODEL names no file")
    return path


@pytest.fixture(scope="session")
def model(model_path):
    with elver.Model(model_path) as model:
        yield model


@pytest.fixture
def session(model):
    with model.session(n_ctx=1024) as session:
        yield session


@pytest.fixture(scope="session")
def small_path():
    """A model of random weights with a context of 64."""
    return GOLDEN / "archs" / "gemma3.gguf"


@pytest.fixture(scope="session")
def run_python():
    """Runs code in a Python of its own and answers what it printed."""
    import subprocess

    def run(code, *arguments, **options):
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
