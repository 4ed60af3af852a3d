"""The wheel as a whole: the program, types, docs, start-up, a machine without compilers."""

import doctest
import importlib
import json
import os
import pkgutil
import subprocess
import sys
import venv
from pathlib import Path

import elver
import pytest
from conftest import ANSWER, QUESTION, ROOT

PACKAGE = Path(elver.__file__).parent


def command(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "elver", *map(str, arguments)], capture_output=True, text=True, timeout=120, **options)


def test_the_module_is_the_program(model_path):
    assert command("--version").stdout.strip() == elver.__version__
    done = command("chat", model_path, QUESTION, "--temperature", "0")
    assert (done.stdout.strip(), done.returncode) == (ANSWER, 0)
    assert command("nothing").returncode == 2


@pytest.mark.parametrize("name", ["nothing-here.gguf", __file__])
def test_messages_are_those_of_the_program(name):
    """The program is C++ over the same ABI: what it says, Python says."""
    with pytest.raises(elver.Error) as caught:
        elver.Model(name)
    assert command("plan", name).stderr.strip() == f"elver: {caught.value}"


def test_plan_is_the_programs(model_path):
    plan = elver.Model(model_path, load=False).plan(n_ctx=200, cache_type="q8_0")
    done = json.loads(command("plan", model_path, "--context", 200, "--cache-type", "q8_0", "--json").stdout)
    assert {name: getattr(plan, name) for name in ("weights", "kv_cache", "scratch", "total")} == {
        name: done[name] for name in ("weights", "kv_cache", "scratch", "total")}


def modules():
    return [elver] + [importlib.import_module(f"elver.{m.name}") for m in pkgutil.iter_modules([str(PACKAGE)])
                      if m.name not in ("__main__", "_elver")]


@pytest.mark.parametrize("module", modules(), ids=lambda m: m.__name__)
def test_examples_in_docstrings(module, model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"elver": elver, "MODEL": model_path, "numpy": importlib.import_module("numpy")}
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_examples_in_the_docs(model_path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.symlink(model_path, "model.gguf")
    failed, tried = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False, optionflags=doctest.ELLIPSIS)
    assert failed == 0 and tried > 10


def test_the_reference_is_made_without_a_warning(tmp_path):
    pytest.importorskip("pdoc")
    # Its modules are found by its name, so from elsewhere than the sources.
    done = subprocess.run([sys.executable, "-W", "error", "-m", "pdoc", "elver", "-o", tmp_path], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the cosine of two texts" in (tmp_path / "elver.html").read_text()
    assert "Grouped-query attention" in (tmp_path / "elver" / "ops.html").read_text()


def test_everything_public_is_documented():
    for name in elver.__all__:
        thing = getattr(elver, name)
        assert thing.__doc__, name
        if isinstance(thing, type):
            for attribute, value in vars(thing).items():
                if not attribute.startswith("_") and (callable(value) or isinstance(value, property)):
                    assert value.__doc__ or attribute == "close", f"{name}.{attribute}"


def test_the_example(model_path):
    done = subprocess.run([sys.executable, ROOT / "examples" / "chat.py", model_path, QUESTION], capture_output=True, text=True, timeout=120)
    assert (done.stdout.strip(), done.stderr) == (ANSWER, "")


def test_types(tmp_path):
    pytest.importorskip("mypy")
    # From elsewhere, and the package by its name: mypy takes what lies beside a file for the project's own.
    for check in (["mypy", "--strict", "--no-incremental", "-p", "elver"],
                  ["mypy", "--strict", "--no-incremental", str(ROOT / "examples" / "chat.py")],
                  ["mypy.stubtest", "elver._elver", "--allowlist", str(Path(__file__).with_name("stubtest.allow"))]):
        done = subprocess.run([sys.executable, "-m", *check], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, done.stdout


def test_pyright():
    pytest.importorskip("basedpyright")
    done = subprocess.run([sys.executable, "-m", "basedpyright", "-p", str(ROOT), "--pythonpath", sys.executable],
                          capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_notebooks(model_path, small_path):
    html = elver.Model(model_path, load=False)._repr_html_()
    assert html.startswith("<table>") and "llama, 30 layers of width 576" in html and "49152 tokens" in html
    with elver.Model(small_path) as model:
        assert "<td>loaded</td>" in model._repr_html_()
    assert "<td>closed</td>" in model._repr_html_()


def test_import_is_quick():
    """Milliseconds of `import elver` beyond NumPy's, the best of some."""
    code = "import time, numpy; start = time.perf_counter(); import elver; print((time.perf_counter() - start) * 1000)"
    took = min(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(7))
    print(f"import elver: {took:.1f} ms over NumPy's")
    assert took < 60


@pytest.fixture(scope="session")
def bare(tmp_path_factory):
    """A new environment with the wheel alone."""
    wheel = os.environ.get("ELVER_TEST_WHEEL")
    if not wheel:
        pytest.skip("ELVER_TEST_WHEEL names no file")
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
    return python


def test_a_machine_without_compilers(bare, model_path, tmp_path):
    code = "import sys, elver; print(elver.chat(sys.argv[1], sys.argv[2], temperature=0)); import shutil; print(shutil.which('cc'))"
    clean = {"PATH": str(tmp_path), "HOME": str(tmp_path)}
    for arguments in (["-c", code, model_path, QUESTION], ["-m", "elver", "chat", model_path, QUESTION, "--temperature", "0"]):
        done = subprocess.run([bare, *arguments], env=clean, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert (done.stdout.splitlines()[0], done.stderr) == (ANSWER, "")
    done = subprocess.run([bare.parent / "elver", "--version"], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == elver.__version__
    done = subprocess.run([bare, "-m", "pip", "list", "--format=json", "--disable-pip-version-check"], capture_output=True, text=True, check=True)
    assert {package["name"] for package in json.loads(done.stdout)} <= {"elver", "numpy", "pip", "setuptools", "wheel"}


@pytest.mark.parametrize("isa", ["reference", "avx2"])
def test_the_instruction_set_is_picked_at_run_time(run_python, small_path, isa):
    if isa not in elver.machine()["available_isas"]:
        pytest.skip(f"this machine has no {isa}")
    code = "import sys, elver; m = elver.Model(sys.argv[1]); m.session().prefill([1, 2]); print(m.machine['isa'])"
    assert run_python(code, small_path, env=os.environ | {"ELVER_FORCE_ISA": isa}).strip() == isa
