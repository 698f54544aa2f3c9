"""What the scripts share that time atypical and PyTorch by turns: measured processes, and the flow of nflows' modules."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import threading
import time


def measured(command, **environment):
    """The JSON that a command prints, and its cost: peak memory in MiB, cores that other processes had meanwhile."""
    start, busy_before = time.perf_counter(), busy()
    process = subprocess.Popen(command, env=os.environ | environment, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"exit status {process.returncode}: {' '.join(command)}")
    others = busy() - busy_before - usage.ru_utime - usage.ru_stime
    # Linux counts peak memory in KiB.
    return json.loads(output), (usage.ru_maxrss / 1024, max(0, others / (time.perf_counter() - start)))


@contextlib.contextmanager
def card_memory(wanted):
    """A list that fills with the memory in use on the card, in MiB, four times a second; empty if it is not wanted."""
    sizes, stop = [], threading.Event()
    query = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "--id=0"]

    def watch():
        while not stop.wait(0.25):
            sizes.append(float(subprocess.check_output(query)))

    watcher = threading.Thread(target=watch)
    if wanted:
        watcher.start()
    yield sizes
    stop.set()
    if wanted:
        watcher.join()


def forget_peak():
    """Linux forgets the peak of memory so far: that of the 3x3 kernels, which are made before they are cut down to 1x1."""
    pathlib.Path("/proc/self/clear_refs").write_text("5")


def busy():
    """CPU seconds of the whole machine since it started."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, open("/proc/stat").readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def build(shape, elementwise="rq_nsf", hidden=(64, 64, 1024), repeats=(3, 3, 2)):
    """`ImagePreset` of models/src/flow/config.rs as an nflows transform, and a function that draws images."""
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "reference"))
    import torch
    from flow_goldens import ACT_NORM, AFFINE, CONV1X1, RQ, SPLIT, Flow, coupling

    torch.set_default_dtype(torch.float32)
    torch.manual_seed(0)
    elementwise = {"rq_nsf": RQ, "glow": AFFINE}[elementwise]
    steps = [{"kind": "logit", "alpha": 0.05, "form": "symmetric"}]
    for level in range(2):
        steps.append({"kind": "squeeze", "factor": 2})
        for mask in ("even", "odd") * repeats[level]:
            steps += [ACT_NORM, CONV1X1, coupling(elementwise, mask, hidden[level])]
        steps += [CONV1X1, SPLIT]
    steps.append({"kind": "squeeze", "factor": shape[1] // 4})
    for mask in ("even", "odd") * repeats[2]:
        steps += [ACT_NORM, coupling(elementwise, mask, hidden[2])]
    flow = Flow(shape, steps + [CONV1X1])
    for _, step, shape_of_step in flow.steps:
        if shape_of_step[1:] == [1, 1]:
            keep_centres(step)
    draw = lambda count: 0.02 + 0.96 * torch.rand(count, *shape)
    flow.initialise(draw(64))
    return flow.transform, draw


def moved(transform, device):
    """The transform on a device."""
    import torch

    transform.to(device)
    for module in transform.modules():
        # nflows keeps some constants as plain attributes, which do not move with the module.
        for name, value in list(vars(module).items()):
            if isinstance(value, torch.Tensor):
                setattr(module, name, value.to(device))
    return transform


def finished(device):
    """Wait until the device has done what it was asked for: a card computes behind the program's back."""
    import torch

    if device == "cuda":
        torch.cuda.synchronize()


def keep_centres(step):
    """On 1x1 maps only the centre of a 3x3 kernel meets data."""
    import torch

    for layer in step.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3):
            layer.weight = torch.nn.Parameter(layer.weight.detach()[:, :, 1:2, 1:2].clone())
            layer.kernel_size, layer.padding = (1, 1), (0, 0)


def spread(values, digits=2):
    return "".join(f"{value:10.{digits}f}" for value in (statistics.median(values), min(values), max(values)))
