#!/usr/bin/env python3
"""Makes the golden numbers of Gemma-3-270m (Q4_K_M) beside it: tokens, logits, kl, greedy and, over three windows,
long.

make.py --peers DIR, DIR being the folder of bench/peers/build_llama_cpp.sh; packages: tests/oracle/requirements.txt.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "oracle"))

from gemma3_forward import Gemma3Forward  # noqa: E402
from golden_numbers import make  # noqa: E402

make(Gemma3Forward, "gemma3-270m", HERE, long_repeat=1536)
