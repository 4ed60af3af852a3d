#!/usr/bin/env python3
"""Speed of elver and its peers on the same files in one run: interleaved rounds, medians, a table of ratios.

    compare.py --elver build/release/bin/elver --llama-bench DIR/build/bin/llama-bench --model A.gguf --rounds 5

`./dev bench peers` builds what it needs, writes synthetic models and runs this. Each round runs every engine once per model,
the order turning from round to round, so that what else the machine does falls on all alike. Prefill is the prompt's tokens
per second, decode the generated tokens a second, both with an empty cache (openvino-genai decodes behind the prompt). The
shares beside elver's speeds are of what the same run measured: a prefill's two operations a weight of the layers by the peak
of byte dot products, a decode's bytes of weights by the read bandwidth. DIR is the folder of build_llama_cpp.sh; --ik takes
another llama-bench (ik_llama.cpp's); openvino-genai joins where it can be imported and --openvino is given. Standard library
only.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple


class EngineError(Exception):
    """An engine could not run a model; one line."""


def run(command: List[str], timeout_s: int) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"no answer within {timeout_s} s") from error
    except OSError as error:
        raise EngineError(str(error)) from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise EngineError(lines[-1] if lines else f"exit status {done.returncode}")
    return done.stdout


class Elver:
    def __init__(self, program: str):
        self.program = program
        self.shares: Dict[str, List[Tuple[float, float]]] = {}  # of dot peak and read bandwidth, by model and round

    def layer_weights(self, model: str, o) -> float:
        """Weights of the layers' matrices that a token meets: of experts, those used."""
        keys = json.loads(run([self.program, "info", model], o.timeout))
        used = [keys[key] for key in keys if key.endswith(".expert_used_count")]
        total = 0.0
        for tensor in json.loads(run([self.program, "info", model, "--tensors"], o.timeout)):
            shape = tensor["shape"]
            if not tensor["name"].startswith("blk.") or len(shape) < 2:
                continue
            n = 1
            for size in shape:
                n *= size
            total += n * used[0] / shape[0] if used and len(shape) == 3 else n
        return total

    def bench(self, model: str, o, prompt: int, generate: int) -> dict:
        command = [self.program, "bench", model, "--prompt", str(prompt), "--generate", str(generate)]
        return json.loads(run(command + ["--threads", str(o.threads), "--repeat", str(o.repeat), "--json"], o.timeout))

    def measure(self, model: str, o) -> Dict[str, float]:
        try:
            # As llama-bench does: decode from an empty cache.
            prefill, decode = self.bench(model, o, o.prompt, 1), self.bench(model, o, 1, o.generate)
            speeds = {"prefill": prefill["prefill"]["tokens_per_s"], "decode": decode["decode"]["tokens_per_s"]}
            dots = 2 * self.layer_weights(model, o) * speeds["prefill"] / (prefill["machine"]["dot_tops"] * 1e12)
            self.shares.setdefault(model, []).append((dots, decode["decode"]["read_share"]))
            return speeds
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"cannot read the output of elver bench: {error!r}") from error


class LlamaBench:
    def __init__(self, program: str):
        self.program = program

    def measure(self, model: str, o) -> Dict[str, float]:
        command = [self.program, "-m", model, "-p", str(o.prompt), "-n", str(o.generate), "-t", str(o.threads)]
        text = run(command + ["-r", str(o.repeat), "-o", "json"], o.timeout)
        try:
            found = {}
            for test in json.loads(text[text.index("[") :]):
                speed = statistics.median(test["samples_ts"]) if test.get("samples_ts") else float(test["avg_ts"])
                found["decode" if test["n_gen"] else "prefill"] = speed
            return {phase: found[phase] for phase in ("prefill", "decode")}
        except (ValueError, KeyError, TypeError) as error:
            raise EngineError(f"cannot read the output of llama-bench: {error!r}") from error


class OpenVino:
    """openvino-genai in a process of its own per measurement, so that its memory and threads leave with it."""

    program = """
import json, sys
import openvino as ov, openvino_genai as genai
model, n_prompt, n_generate, threads, repeat = sys.argv[1], *map(int, sys.argv[2:])
pipe = genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
config = genai.GenerationConfig(max_new_tokens=n_generate, ignore_eos=True, do_sample=False)
prefill, decode = [], []
for i in range(repeat + 1):  # each time another prompt: a prefix that was seen before may be cached
    words = " ".join(str((n * 7 + i) % 10) for n in range(4 * n_prompt))
    ids = pipe.get_tokenizer().encode(words).input_ids.data[:, :n_prompt]
    inputs = genai.TokenizedInputs(ov.Tensor(ids.copy()), ov.Tensor(ids * 0 + 1))
    metrics = pipe.generate(inputs, config).perf_metrics
    if i:  # the first is for warming up
        prefill.append(1000 * ids.shape[1] / metrics.get_ttft().mean)
        decode.append(1000 / metrics.get_tpot().mean)
print(json.dumps({"prefill": prefill, "decode": decode}))
"""

    def measure(self, model: str, o) -> Dict[str, float]:
        numbers = [str(n) for n in (o.prompt, o.generate, o.threads, o.repeat)]
        text = run([sys.executable, "-c", self.program, model] + numbers, o.timeout)
        return {phase: statistics.median(speeds) for phase, speeds in json.loads(text.splitlines()[-1]).items()}


def engines(o) -> Dict[str, object]:
    found = {"elver": Elver(o.elver), "llama.cpp": LlamaBench(o.llama_bench)}
    if o.ik:
        found["ik_llama.cpp"] = LlamaBench(o.ik)
    if o.openvino:
        try:
            import openvino_genai  # noqa: F401

            found["openvino-genai"] = OpenVino()
        except ImportError as error:
            print(f"openvino-genai is left out: {error}", file=sys.stderr)
    return found


def measure_model(model: str, everyone: Dict[str, object], o) -> Dict[str, Dict[str, List[float]]]:
    """Speeds of all rounds by engine and phase; an engine that fails is named once and left out."""
    speeds = {name: {"prefill": [], "decode": []} for name in everyone}
    names = list(everyone)
    for turn in range(o.rounds):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            if name not in speeds:
                continue
            try:
                for phase, speed in everyone[name].measure(model, o).items():
                    speeds[name][phase].append(speed)
            except EngineError as error:
                print(f"{name} fails on {model}: {error}", file=sys.stderr)
                del speeds[name]
        print(f"round {turn + 1} of {o.rounds} on {Path(model).name} done", file=sys.stderr, flush=True)
    return speeds


def shares(model: str, elver: Elver) -> List[str]:
    if model not in elver.shares:
        return []
    dots, read = (statistics.median(values) for values in zip(*elver.shares[model]))
    return [f"elver: prefill at {100 * dots:.0f} % of the dot peak, decode at {100 * read:.0f} % of the read bandwidth"]


def table(model: str, speeds) -> List[str]:
    lines = [f"{Path(model).name}", f"{'':16}{'tokens/s: median (lowest to highest)':^64}{'elver is, times':^20}"]
    lines.append(f"{'':16}{'prefill':^32}{'decode':^32}{'prefill':^10}{'decode':^10}")
    for name, phases in speeds.items():
        line = f"{name:16}"
        for phase in ("prefill", "decode"):
            values = phases[phase]
            line += f"{f'{statistics.median(values):.1f} ({min(values):.1f} to {max(values):.1f})':^32}"
        if "elver" in speeds and name != "elver":
            for phase in ("prefill", "decode"):
                line += f"{statistics.median(speeds['elver'][phase]) / statistics.median(phases[phase]):^10.2f}"
        lines.append(line.rstrip())
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the speed of elver with its peers.")
    parser.add_argument("--elver", required=True, help="the program elver")
    parser.add_argument("--llama-bench", required=True, help="llama.cpp's llama-bench")
    parser.add_argument("--ik", help="the llama-bench of ik_llama.cpp")
    parser.add_argument("--openvino", action="store_true", help="openvino-genai too")
    parser.add_argument("--model", nargs="+", required=True, help="GGUF files")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3, help="repetitions within a round")
    parser.add_argument("--timeout", type=int, default=600, help="seconds for one engine in one round")
    parser.add_argument("--json", type=Path, help="write all speeds there")
    o = parser.parse_args()
    everyone = engines(o)
    results, complete = {}, True
    for model in o.model:
        speeds = measure_model(model, everyone, o)
        complete &= {"elver", "llama.cpp"} <= set(speeds)
        results[model] = speeds
        print("\n".join(table(model, speeds) + shares(model, everyone["elver"])) + "\n", flush=True)
    if o.json:
        settings = {key: getattr(o, key) for key in ("rounds", "prompt", "generate", "threads", "repeat")}
        o.json.write_text(json.dumps({"settings": settings, "speeds": results}, indent=1) + "\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
