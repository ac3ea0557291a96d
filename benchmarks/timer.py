"""What the timer costs: one clock around many runs, as onnxruntime_perf_test has it, against ours.

    python benchmarks/timer.py student.onnx

Rounds of both alternate, so that a drift of the machine meets both alike.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np

from mkd.edge.opening import Settings, open_file
from mkd.edge.timing import sample


def main() -> None:
    """Print both medians in milliseconds and their ratio minus one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--runs", type=int, default=20, help="of one round")
    parser.add_argument("--rounds", type=int, default=30)
    options = parser.parse_args()
    call = open_file(options.file, Settings()).call

    def bare() -> float:
        begin = time.perf_counter()
        for _ in range(options.runs):
            call()
        return (time.perf_counter() - begin) / options.runs * 1e3

    def ours() -> float:
        return float(np.mean(sample(call, options.runs)))

    sample(call, options.runs)
    rounds = np.array([(bare(), ours()) for _ in range(options.rounds)])
    middle = np.median(rounds, axis=0)
    print(
        json.dumps(
            {
                "bare_ms": round(float(middle[0]), 4),
                "timer_ms": round(float(middle[1]), 4),
                "overhead": round(float(np.median(rounds[:, 1] / rounds[:, 0])) - 1, 5),
                "runs": options.runs,
                "rounds": options.rounds,
            }
        )
    )


if __name__ == "__main__":
    main()
