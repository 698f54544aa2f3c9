#!/usr/bin/env python3
"""Time flows: `examples/flow_work` beside PyTorch with nflows' modules, by turns, and print ratios.

Usage:
  cargo build --release --example flow_work
  scripts/bench_flow.py --binary target/release/examples/flow_work
  scripts/bench_flow.py --binary target/release/examples/flow_work --model rq_nsf --shape 1 28 28 --work train --batch 64
  scripts/bench_flow.py --binary target/release/examples/flow_work --backend cuda --batch 128   (built with --features cuda)

The work: `train`, a step of training (forward, backward, gradients clipped to norm 1, AdamW) without loading data; `log_prob` of a
batch; `sample` of a batch. The flows have the structure of configs/train/rq_nsf_fmnist.yaml, glow_fmnist.yaml and their cifar10 twins, without
dropout. PyTorch is eager, and is given its best: 1x1 kernels in the third level, where the reference has 3x3 kernels on 1x1 maps, and
the faster of AdamW's implementations (fused), and what nflows caches of 1x1 convolutions. Every turn is a process of its own; seconds are the median of its repetitions after
one that is not counted. Ratio: ours over PyTorch's, so below 1 is faster. Peak memory is that of the process from when its flow stands.
GF: operations of a repetition, in 10^9, as PyTorch counts them (of convolutions and matrix products, direct); over the matrix rate that is printed first
they are the floor of a direct computation. With `--backend cuda` both run on the first card, and peak memory is the card's.
The machine must be idle: see the column "others", the cores that other processes had meanwhile.
Needs torch and nflows 0.14.
"""

import argparse
import json
import statistics
import sys
import time
import warnings

from paired import build, card_memory, finished, forget_peak, measured, moved, spread

WORK = ["train", "log_prob", "sample"]
MODELS = ["rq_nsf", "glow"]
SHAPES = [[1, 28, 28], [3, 32, 32]]
BATCHES = [1, 64, 256]


def worker(model, shape, work, batch, threads, device, budget):
    """Print as JSON the median seconds of one repetition in PyTorch."""
    warnings.simplefilter("ignore", FutureWarning)
    import torch

    torch.set_num_threads(threads)
    transform, draw = build(shape, model)
    moved(transform, device)
    forget_peak()
    x = draw(batch).to(device)
    dimension = x[0].numel()

    def log_prob(x):
        z, log_det = transform(x)
        return log_det - 0.5 * z.flatten(1).square().sum(1) - 0.5 * dimension * 1.8378770664093453

    if work == "train":
        transform.train()
        optimizer = torch.optim.AdamW(transform.parameters(), lr=1e-3, weight_decay=0.01, fused=True)

        def repetition():
            optimizer.zero_grad()
            (-log_prob(x).mean()).backward()
            torch.nn.utils.clip_grad_norm_(transform.parameters(), 1.0)
            optimizer.step()

    else:
        # Its 1x1 convolutions keep their matrices and inverses, too.
        transform.eval()
        for module in transform.modules():
            if hasattr(module, "use_cache"):
                module.use_cache(True)
    if work == "log_prob":
        repetition = torch.no_grad()(lambda: log_prob(x))
    elif work == "sample":
        repetition = torch.no_grad()(lambda: transform.inverse(torch.randn(batch, dimension, device=device)))
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        repetition()
    print(json.dumps({"seconds": repeated(repetition, device, budget), "operations": counter.get_total_flops()}))


def matrix_rate(threads, device):
    """Print as JSON the operations a second of PyTorch's matrix product, in 10^9."""
    import torch

    torch.set_num_threads(threads)
    size = 8192 if device == "cuda" else 2048
    a = torch.rand(size, size, device=device)
    seconds = []
    for _ in range(10):
        before = time.perf_counter()
        (a @ a)[0, 0].item()
        seconds.append(time.perf_counter() - before)
    print(json.dumps(2 * size**3 / min(seconds) / 1e9))


def repeated(repetition, device, budget):
    repetition()
    finished(device)
    seconds, start = [], time.perf_counter()
    while len(seconds) < 3 or time.perf_counter() - start < budget:
        before = time.perf_counter()
        repetition()
        finished(device)
        seconds.append(time.perf_counter() - before)
    return statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", help="the example flow_work, built with --release")
    parser.add_argument("--model", action="append", choices=MODELS, help="[default: both]")
    parser.add_argument("--shape", type=int, nargs=3, action="append", help="[default: 1 28 28 and 3 32 32]")
    parser.add_argument("--work", action="append", choices=WORK, help="[default: all]")
    parser.add_argument("--batch", type=int, action="append", help="[default: 1, 64 and 256]")
    parser.add_argument("--turns", type=int, default=3, help="processes of each program [default: 3]")
    parser.add_argument("--threads", type=int, default=2, help="threads of each program [default: 2]")
    parser.add_argument("--seconds", type=float, default=6, help="that a process repeats the work for [default: 6]")
    parser.add_argument("--backend", default="flex", choices=["flex", "ndarray", "cuda"], help="ours [default: flex]")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rate", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.device = "cuda" if args.backend == "cuda" else "cpu"
    if args.rate:
        return matrix_rate(args.threads, args.device)
    if args.worker:
        return worker(args.model[0], args.shape[0], args.work[0], args.batch[0], args.threads, args.device, args.seconds)
    if not args.binary:
        parser.error("--binary missing")
    head = f"{'':36}{'ours, s':>30}{'PyTorch, s':>30}{'ours / PyTorch':>30}{'peak MiB, ratio':>22}{'GF':>8}{'others':>8}"
    # In a process of its own, as all of PyTorch's work: a child's peak counts from the size of its parent.
    rate, _ = measured([sys.executable, __file__, "--rate", f"--threads={args.threads}", "--backend", args.backend])
    print(f"matrix rate {rate:.0f} GF/s")
    print(f"{args.turns} turns, {args.threads} threads; median, min, max\n{head}", flush=True)
    for model in args.model or MODELS:
        for shape in args.shape or SHAPES:
            for work in args.work or WORK:
                for batch in args.batch or BATCHES:
                    compare(args, model, shape, work, batch)


def compare(args, model, shape, work, batch):
    options = ["--backend", args.backend, "--model", model, "--shape", *map(str, shape), "--work", work, "--batch", str(batch)]
    own, other, peaks, others = [], [], [[], []], []
    for _ in range(args.turns):
        for seconds, peak, command in [
            (own, peaks[0], [args.binary, *options, "--seconds", str(args.seconds)]),
            (other, peaks[1], [sys.executable, __file__, "--worker", *options, f"--threads={args.threads}", f"--seconds={args.seconds}"]),
        ]:
            with card_memory(args.device == "cuda") as on_card:
                report, (memory, busy) = measured(command, RAYON_NUM_THREADS=str(args.threads))
            memory = max(on_card, default=memory)
            seconds.append(report["seconds"])
            peak.append(memory)
            others.append(busy)
    operations = report["operations"] / 1e9
    ratios = [a / b for a, b in zip(own, other)]
    name = f"{model} {'x'.join(map(str, shape))} {work} {batch}"
    memory = f"{max(peaks[0]):8.0f}{max(peaks[1]):8.0f}{max(peaks[0]) / max(peaks[1]):6.2f}"
    print(f"{name:36}{spread(own, 4)}{spread(other, 4)}{spread(ratios)}{memory}{operations:8.1f}{max(others):8.2f}", flush=True)


if __name__ == "__main__":
    main()
