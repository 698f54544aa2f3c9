#!/usr/bin/env python3
"""Time the LID of single images: `atypical lid` beside the Python reference's own route, by turns, and print ratios.

Usage:
  scripts/bench_lid.py --binary target/release/atypical --run RUN --data fashion-mnist:test --images 4
  scripts/bench_lid.py --binary target/release/atypical --run RUN --data cifar10:test --images 1 --shape 3 32 32
  scripts/bench_lid.py --skip-ours --images 1 --repeats 1      the PyTorch half alone

The reference's route, one image at a time in float32: encode, Jacobian of the decoder by `jacfwd` (`vmap` of `jvp`),
symmetrised and clamped J'J, `eigh`, count of the eigenvalues above the scale. It is given its best: chunks of 98, 196
or 392 directions, whichever a probe finds fastest, instead of all at once; 1x1 kernels in the third level, where the
reference has 3x3 kernels on 1x1 maps; and `eigvalsh`, which is enough for the count, timed in the place of `eigh` too.
Its flow has nflows' modules, the structure of configs/train/rq_nsf_fmnist.yaml and rq_nsf_cifar10.yaml, and random
weights and images, which do not change the work. The run should be of that structure.

Seconds are those of scoring, without start and loading. Peak memory is that of the process, for PyTorch once it is built.
The machine must be idle: PyTorch's threads wait for each other at every operation, and one other busy process can make
it 30 times slower. The column "others" says how many cores other processes had meanwhile: near 0, or the ratios mean
nothing. With `--backend cuda` both run on the first card (PyTorch then tries up to all directions at once), and peak memory is still that of the process on the host.
Needs torch and nflows 0.14. atypical finds its folders by DATA_DIR and MODEL_DIR.
"""

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
import warnings

from paired import build, finished, forget_peak, measured, moved, spread

CHUNKS = [98, 196, 392]
# A card takes more at a time.
CARD_CHUNKS = [196, 784, 3072]
ESTIMATORS = ["threshold", "spectral", "matrix_free"]
SPECTRA = ["eigh", "eigvalsh"]


def ours(args, estimator):
    """Seconds an image of one `atypical lid`, and its cost."""
    images = args.together if estimator == "matrix_free" else args.images
    with tempfile.TemporaryDirectory() as folder:
        command = [args.binary, "lid", "--run", args.run, "--data", f"{args.data}[:{images}]"]
        if args.tolerance:
            command += ["--tolerance", args.tolerance]
        command += ["--backend", args.backend, "--estimator", estimator, f"--scale={args.scale}", "--out", f"{folder}/lid.csv", "--json"]
        report, cost = measured(command, RAYON_NUM_THREADS=str(args.threads))
    return report["estimators"][estimator]["seconds_per_image"], cost


def pytorch(args, chunk):
    """Report of one process that runs `worker`, and its cost."""
    command = [sys.executable, __file__, "--worker", f"--images={args.images}", f"--threads={args.threads}"]
    command += [f"--scale={args.scale}", f"--chunk={chunk}", "--backend", args.backend, "--shape", *map(str, args.shape)]
    return measured(command)


# The worker: PyTorch in a process of its own. Only it imports torch: a child's peak counts from the size of its parent.


def worker(args):
    """Print as JSON the mean seconds an image of every part of the route, and the chunk."""
    warnings.simplefilter("ignore", FutureWarning)
    import torch

    torch.set_num_threads(args.threads)
    device = "cuda" if args.backend == "cuda" else "cpu"
    transform, draw = build(args.shape)
    moved(transform, device)
    forget_peak()
    with torch.no_grad():
        one = draw(1).to(device)
        chunk = args.chunk or fastest_chunk(transform, one)
        seconds_of_chunk(transform, one, chunk)  # warm-up, of the card's solver too
        torch.linalg.eigh(torch.eye(2, device=device))
        images = [score(transform, image, chunk, float(args.scale)) for image in draw(args.images).to(device).split(1)]
    seconds = {part: statistics.fmean(image[part] for image in images) for part in images[0]}
    print(json.dumps({"seconds": seconds, "chunk": chunk}))


def decoder(transform):
    return lambda z: transform.inverse(z)[0].flatten()


def jacobian(transform, z, chunk, columns=None):
    """dx/dz at one latent, or its first columns: what `jacfwd` does, which itself takes no chunks."""
    import torch

    column = lambda direction: torch.func.jvp(decoder(transform), (z,), (direction[None],))[1]
    return torch.vmap(column, out_dims=1, chunk_size=chunk)(torch.eye(z.shape[1], device=z.device)[:columns])


def seconds_of_chunk(transform, image, chunk):
    """Seconds a direction of one chunk."""
    z = transform(image)[0]
    finished(image.device.type)
    start = time.perf_counter()
    columns = jacobian(transform, z, chunk, columns=chunk).shape[1]
    finished(image.device.type)
    return (time.perf_counter() - start) / columns


def fastest_chunk(transform, image):
    """The best of two turns each: the first one pays for what PyTorch sets up once."""
    chunks = CARD_CHUNKS if image.is_cuda else CHUNKS
    seconds = {chunk: min(seconds_of_chunk(transform, image, chunk) for _ in range(2)) for chunk in chunks}
    return min(seconds, key=seconds.get)


def score(transform, image, chunk, scale):
    """Seconds of every part of one image's threshold LID."""
    import torch

    times = [time.perf_counter()]

    def lap():
        finished(image.device.type)
        times.append(time.perf_counter())

    z = transform(image)[0]
    lap()
    j = jacobian(transform, z, chunk)
    lap()
    gram = j.T @ j
    gram = ((gram + gram.T) / 2).clamp(-(10**4.5), 10**4.5).nan_to_num(0)
    lap()
    values, _ = torch.linalg.eigh(gram)
    int((values.clamp(min=1e-20) > math.exp(2 * scale)).sum())
    lap()
    torch.linalg.eigvalsh(gram)
    lap()
    parts = ["encode", "jacobian", "gram", *SPECTRA]
    return {part: end - start for part, start, end in zip(parts, times, times[1:])}


# Report --------------------------------------------------------------------------------------------------------------


def main():
    args = arguments()
    if args.worker:
        return worker(args)
    seconds, costs, chunk = {}, {}, args.chunk

    def add(route, value, cost):
        seconds.setdefault(route, []).append(value)
        costs.setdefault(route, []).append(cost)
        print(f"{route}: {value:.2f} s an image, others {cost[1]:.2f}", file=sys.stderr)

    for _ in range(args.repeats):
        for estimator in args.estimator:
            add(f"atypical {estimator}", *ours(args, estimator))
        report, cost = pytorch(args, chunk)
        chunk, parts = report["chunk"], report["seconds"]
        for spectrum in SPECTRA:
            shared = parts["encode"] + parts["jacobian"] + parts["gram"]
            add(f"PyTorch {spectrum}", shared + parts[spectrum], cost)

    shape = "x".join(map(str, args.shape))
    print(f"{shape}, {args.images} images a turn, {args.repeats} turns, {args.threads} threads")
    parts = ", ".join(f"{part} {value:.2f} s" for part, value in parts.items())
    print(f"PyTorch's last turn: {parts}; chunks of {chunk}")
    print(f"\n{'seconds an image':32}{'median':>10}{'min':>10}{'max':>10}{'peak MiB':>10}{'others':>10}")
    for route, values in seconds.items():
        peak, others = map(max, zip(*costs[route]))
        print(f"{route:32}{spread(values)}{peak:10.0f}{others:10.2f}")
    if args.estimator:
        print(f"\n{'reference / ours, turn by turn':32}{'median':>10}{'min':>10}{'max':>10}")
    for estimator in args.estimator:
        for spectrum in SPECTRA:
            turns = zip(seconds[f"PyTorch {spectrum}"], seconds[f"atypical {estimator}"])
            ratios = [reference / own for reference, own in turns]
            print(f"{f'{spectrum} / {estimator}':32}{spread(ratios)}")


def arguments():
    about, _, more = __doc__.partition("\n\n")
    parser = argparse.ArgumentParser(
        description=about, epilog=more, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--binary", help="the atypical program, built with --release")
    parser.add_argument("--run", help="run whose flow is scored: its name under MODEL_DIR, or its folder")
    parser.add_argument("--data", help="SPEC without a slice, e.g. fashion-mnist:test; its first images are scored")
    parser.add_argument(
        "--estimator", action="append", choices=ESTIMATORS, help="may be given several times [default: all]"
    )
    parser.add_argument("--scale", default="-3", help="log of the threshold, for both programs [default: -3]")
    parser.add_argument("--images", type=int, default=1, help="images a turn [default: 1]")
    parser.add_argument(
        "--together", type=int, default=64, help="images a turn of matrix_free, which computes them together [default: 64]"
    )
    parser.add_argument("--tolerance", help="tolerance of matrix_free, in dimensions [default: the program's]")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each program [default: 3]")
    parser.add_argument("--threads", type=int, default=2, help="threads of each program [default: 2]")
    parser.add_argument(
        "--shape", type=int, nargs=3, default=[1, 28, 28], metavar=("C", "H", "W"),
        help="shape of an image, H and W equal and multiples of 4, as the run has it [default: 1 28 28]",
    )
    parser.add_argument("--backend", default="flex", choices=["flex", "ndarray", "cuda"], help="ours; PyTorch takes the first card with cuda [default: flex]")
    parser.add_argument("--chunk", type=int, default=0, help="directions PyTorch takes at once [default: by a probe]")
    parser.add_argument("--skip-ours", action="store_true", help="time PyTorch alone")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.estimator = [] if args.skip_ours else list(dict.fromkeys(args.estimator or ESTIMATORS))
    missing = [f"--{name}" for name in ("binary", "run", "data") if getattr(args, name) is None]
    if missing and not (args.skip_ours or args.worker):
        parser.error(f"{', '.join(missing)} missing; --skip-ours times PyTorch alone")
    return args


if __name__ == "__main__":
    main()
