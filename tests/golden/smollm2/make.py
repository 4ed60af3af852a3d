#!/usr/bin/env python3
"""Makes the golden numbers of SmolLM2-135M-Instruct (Q4_1) beside it: tokens, logits, kl and greedy.

make.py --peers DIR, DIR being the folder of bench/peers/build_llama_cpp.sh; packages: tests/oracle/requirements.txt.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "oracle"))

from golden_numbers import make  # noqa: E402
from llama_forward import LlamaForward  # noqa: E402

make(LlamaForward, "smollm2-135m", HERE)
