#!/usr/bin/env python3
"""A flow that `atypical export` wrote, in PyTorch. Needs torch and safetensors alone (and numpy to read .npz).

    python load_flow.py FOLDER --check        does PyTorch agree with atypical? (exit code 0 or 1)
    python load_flow.py FOLDER images.npz     log_prob of uint8 `images` [N, H, W] or [N, H, W, C], one a line

    from load_flow import load
    flow = load("FOLDER")                     # a torch.nn.Module in evaluation mode
    flow.log_prob(x)                          # nats of x in [0, 1]^D; x is [N, C, H, W] or [N, D]
    z, log_det = flow.encode(x)               # z is [N, D], log_det = log |det dz/dx|, [N]
    x, log_det = flow.decode(z)               # x is [N, C, H, W], log_det = log |det dx/dz|, [N]
    flow.sample(16)

Every step maps [N, C, H, W] tensors both ways and returns the log-determinant, [N], with the result. All of it is differentiable.
"""

import argparse
import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

FORMAT = 1
TOLERANCE = 1e-4  # of --check, in parts of |log_prob|
MIN_BIN = MIN_DERIVATIVE = MIN_SCALE = MIN_DIAGONAL = 1e-3


class Logit(nn.Module):
    """u = offset + scale x goes to log(u / (top - u)), elementwise."""

    def __init__(self, alpha, form):
        super().__init__()
        self.offset = alpha
        self.scale, self.top = {"symmetric": (1 - 2 * alpha, 1.0), "reference": (1 - alpha, 1 + 1e-6)}[form]

    def log_det(self, z):
        return (math.log(self.scale / self.top) - F.logsigmoid(z) - F.logsigmoid(-z)).flatten(1).sum(1)

    def forward(self, x):
        u = x * self.scale + self.offset
        z = u.log() - torch.log1p(self.top - 1 - u)
        return z, self.log_det(z)

    def inverse(self, z):
        return (z.sigmoid() * self.top - self.offset) / self.scale, -self.log_det(z)


class Squeeze(nn.Module):
    """[C, H, W] to [C f g, H/f, W/g]: pixel (i, j) of a block becomes channel c f g + i g + j."""

    def __init__(self, block):
        super().__init__()
        self.block = block

    def forward(self, x):
        (n, c, h, w), (f, g) = x.shape, self.block
        z = x.reshape(n, c, h // f, f, w // g, g).permute(0, 1, 3, 5, 2, 4)
        return z.reshape(n, c * f * g, h // f, w // g), x.new_zeros(n)

    def inverse(self, z):
        (n, c, h, w), (f, g) = z.shape, self.block
        x = z.reshape(n, c // (f * g), f, g, h, w).permute(0, 1, 4, 2, 5, 3)
        return x.reshape(n, c // (f * g), h * f, w * g), z.new_zeros(n)


class Scale(nn.Module):
    """z = scale x + shift."""

    def __init__(self, scale, shift):
        super().__init__()
        self.scale, self.shift = scale, shift

    def log_det(self, x):
        return x.new_full((len(x),), x[0].numel() * math.log(abs(self.scale)))

    def forward(self, x):
        return x * self.scale + self.shift, self.log_det(x)

    def inverse(self, z):
        return (z - self.shift) / self.scale, -self.log_det(z)


class Whiten(nn.Module):
    """z = (x - mean) / deviation, element by element."""

    def __init__(self, shape):
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def log_det(self, x):
        return -self.deviation.log().sum().expand(len(x))

    def forward(self, x):
        return (x - self.mean) / self.deviation, self.log_det(x)

    def inverse(self, z):
        return z * self.deviation + self.mean, -self.log_det(z)


class ActNorm(nn.Module):
    """z = exp(log_scale) x + shift, by channel."""

    def __init__(self, channels):
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(channels))
        self.shift = nn.Parameter(torch.zeros(channels))

    def log_det(self, x):
        return (self.log_scale.sum() * x[0, 0].numel()).expand(len(x))

    def forward(self, x):
        z = x * self.log_scale.exp()[:, None, None] + self.shift[:, None, None]
        return z, self.log_det(x)

    def inverse(self, z):
        x = (z - self.shift[:, None, None]) * (-self.log_scale).exp()[:, None, None]
        return x, -self.log_det(z)


class Conv1x1(nn.Module):
    """z = L U P x + bias at every position: P permutes channels, L has a unit diagonal, U softplus(diagonal) + 1e-3."""

    def __init__(self, channels):
        super().__init__()
        self.lower = nn.Parameter(torch.zeros(channels, channels))
        self.upper = nn.Parameter(torch.zeros(channels, channels))
        self.diagonal = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("permutation", torch.arange(channels))  # (P x)[i] = x[permutation[i]]

    def factors(self):
        diagonal = F.softplus(self.diagonal) + MIN_DIAGONAL
        lower = self.lower.tril(-1) + torch.eye(len(diagonal)).to(diagonal)
        return lower, self.upper.triu(1) + diagonal.diag(), diagonal

    def forward(self, x):
        lower, upper, diagonal = self.factors()
        z = F.conv2d(x[:, self.permutation], (lower @ upper)[:, :, None, None], self.bias)
        return z, (diagonal.log().sum() * x[0, 0].numel()).expand(len(x))

    def inverse(self, z):
        lower, upper, diagonal = self.factors()
        inverse = torch.linalg.inv(lower.double() @ upper.double()).to(z)
        x = F.conv2d(z - self.bias[:, None, None], inverse[:, :, None, None])
        return x[:, self.permutation.argsort()], (-diagonal.log().sum() * z[0, 0].numel()).expand(len(z))


class Block(nn.Module):
    """Two activated convolutions beside a skip connection."""

    def __init__(self, hidden, kernel, dropout):
        super().__init__()
        self.first = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2)
        self.second = nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        return x + self.second(self.dropout(F.relu(self.first(F.relu(x)))))


class Conditioner(nn.Module):
    """The residual network of a coupling."""

    def __init__(self, inputs, outputs, kernel, hidden, blocks, dropout):
        super().__init__()
        self.initial = nn.Conv2d(inputs, hidden, 1)
        self.blocks = nn.ModuleList(Block(hidden, kernel, dropout) for _ in range(blocks))
        self.output = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x):
        x = self.initial(x)
        for block in self.blocks:
            x = block(x)
        return self.output(x)


class Coupling(nn.Module):
    """Every other channel is copied; a network of these sets the elementwise map of the others."""

    def __init__(self, shape, transform, mask, conditioner):
        super().__init__()
        channels, height, width = shape
        self.first = {"even": 0, "odd": 1}[mask]  # the first channel that is transformed
        self.transform, self.hidden = transform, conditioner["hidden"]
        transformed = len(range(self.first, channels, 2))
        parameters = {"rq_spline": 3 * transform.get("bins", 0) - 1, "affine": 2}[transform["kind"]]
        # On a 1x1 map only the centre of a larger kernel would meet data.
        conditioner = conditioner | ({"kernel": 1} if height * width == 1 else {})
        self.conditioner = Conditioner(channels - transformed, transformed * parameters, **conditioner)

    def run(self, x, inverse):
        b, parameters = x[:, self.first :: 2], self.conditioner(x[:, 1 - self.first :: 2])
        if self.transform["kind"] == "affine":
            shift, scale = parameters.chunk(2, dim=1)  # all shifts before all scales
            scale = torch.sigmoid(scale + 2) + MIN_SCALE
            y = (b - shift) / scale if inverse else b * scale + shift
            slope = -scale.log() if inverse else scale.log()
        else:
            # One element's parameters follow each other; they become the last dimension.
            parameters = parameters.unflatten(1, (b.shape[1], -1)).movedim(2, -1)
            bins, tail = self.transform["bins"], self.transform["tail"]
            y, slope = rq_spline(b, parameters, bins, tail, 1 / math.sqrt(self.hidden), inverse)
        out = x.clone()
        out[:, self.first :: 2] = y
        return out, slope.flatten(1).sum(1)

    def forward(self, x):
        return self.run(x, inverse=False)

    def inverse(self, z):
        return self.run(z, inverse=True)


def rq_spline(x, parameters, bins, tail, logit_scale, inverse):
    """Rational-quadratic spline (Durkan et al. 2019) on [-tail, tail], the identity outside; with its log-derivative."""
    widths, heights, derivatives = parameters.split([bins, bins, bins - 1], dim=-1)

    def knots(logits):
        sizes = (logits * logit_scale).softmax(-1) * (1 - MIN_BIN * bins) + MIN_BIN
        inner = sizes[..., :-1].cumsum(-1) * 2 * tail - tail
        return F.pad(F.pad(inner, (1, 0), value=-tail), (0, 1), value=tail)

    def pick(table, offset):
        return table.gather(-1, bin + offset).squeeze(-1)

    xs, ys = knots(widths), knots(heights)
    derivatives = F.pad(F.softplus(derivatives) + MIN_DERIVATIVE, (1, 1), value=1.0)

    outside = x.abs() > tail
    clipped = x.clamp(-tail, tail)
    inner = (ys if inverse else xs)[..., 1:-1]
    bin = (clipped[..., None] >= inner).sum(-1, keepdim=True)
    x0, y0, d0, x1, y1, d1 = (pick(table, i) for i in (0, 1) for table in (xs, ys, derivatives))
    w, h = x1 - x0, y1 - y0
    s = h / w
    bend = d0 + d1 - 2 * s
    if inverse:
        dy = clipped - y0
        a, b, c = h * (s - d0) + dy * bend, h * d0 - dy * bend, -s * dy
        root = (b * b - 4 * a * c).clamp(min=0).sqrt()
        xi = 2 * c / (-b - root)
    else:
        xi = (clipped - x0) / w
    xi = xi.clamp(0, 1)
    theta = xi * (1 - xi)
    denominator = s + bend * theta
    slope = s**2 * (d1 * xi**2 + 2 * s * theta + d0 * (1 - xi) ** 2) / denominator**2
    y = x0 + xi * w if inverse else y0 + h * (s * xi**2 + d0 * theta) / denominator
    log_slope = -slope.log() if inverse else slope.log()
    return torch.where(outside, x, y), log_slope.masked_fill(outside, 0.0)


class Level(nn.Module):
    """The steps between two splits."""

    def __init__(self):
        super().__init__()
        self.steps = nn.ModuleList()
        self.shape = None  # of the level's output, [C, H, W]


class Flow(nn.Module):
    """Levels of steps. After each but the last, the first ceil(C / 2) channels leave to the latent; the others go on."""

    def __init__(self, config):
        super().__init__()
        self.shape = tuple(config["shape"])
        self.dimension = math.prod(self.shape)
        self.levels = nn.ModuleList([Level()])
        c, h, w = self.shape
        for step in config["transform"]:
            settings = {key: value for key, value in step.items() if key != "kind"}
            level = self.levels[-1]
            match step["kind"]:
                case "logit":
                    level.steps.append(Logit(**settings))
                case "scale":
                    level.steps.append(Scale(**settings))
                case "whiten":
                    level.steps.append(Whiten((c, h, w)))
                case "flatten":
                    level.steps.append(Squeeze((h, w)))
                    c, h, w = c * h * w, 1, 1
                case "squeeze":
                    f = settings["factor"]
                    level.steps.append(Squeeze((f, f)))
                    c, h, w = c * f * f, h // f, w // f
                case "act_norm":
                    level.steps.append(ActNorm(c))
                case "conv1x1":
                    level.steps.append(Conv1x1(c))
                case "coupling":
                    level.steps.append(Coupling((c, h, w), **settings))
                case "split":
                    level.shape = (c, h, w)
                    c //= 2
                    self.levels.append(Level())
                case other:
                    raise ValueError(f"config.json has a step of kind {other!r}, which this script does not know")
        self.levels[-1].shape = (c, h, w)

    def encode(self, x):
        """Data to latent."""
        x = x.reshape(len(x), *self.shape)
        latents, log_det = [], x.new_zeros(len(x))
        for level in self.levels:
            for step in level.steps:
                x, d = step(x)
                log_det = log_det + d
            if level is not self.levels[-1]:
                out, x = x.tensor_split([(x.shape[1] + 1) // 2], dim=1)
                latents.append(out.flatten(1))
        return torch.cat([*latents, x.flatten(1)], dim=1), log_det

    def decode(self, z):
        """Latent to data."""
        x, log_det = z.new_zeros(len(z), 0), z.new_zeros(len(z))
        for level in reversed(self.levels):
            c, h, w = level.shape
            own = c * h * w - x[0].numel()
            z, latent = z.tensor_split([z.shape[1] - own], dim=1)
            x = torch.cat([latent, x.flatten(1)], dim=1).reshape(len(x), c, h, w)
            for step in reversed(level.steps):
                x, d = step.inverse(x)
                log_det = log_det + d
        return x, log_det

    def log_prob(self, x):
        """Log-density in nats."""
        z, log_det = self.encode(x)
        return log_det - 0.5 * z.square().sum(1) - 0.5 * self.dimension * math.log(2 * math.pi)

    @torch.no_grad()
    def sample(self, n, generator=None):
        """n draws, [n, C, H, W]."""
        like = next(self.parameters())
        z = torch.randn(n, self.dimension, dtype=like.dtype, device=like.device, generator=generator)
        return self.decode(z)[0]


def load(folder, dtype=torch.float32, device="cpu"):
    """The flow of an exported folder, in evaluation mode."""
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    if config["format"] != FORMAT:
        raise ValueError(
            f"{path}: `format` is {config['format']}, but this script reads {FORMAT}; use the load_flow.py beside it"
        )
    flow = Flow(config)
    flow.load_state_dict(load_file(Path(folder) / "model.safetensors"))  # refuses tensors that differ from config.json's
    return flow.to(device, dtype).eval()


def read_images(path, shape):
    """uint8 `images` as x in [0, 1]^D, each pixel in the middle of its cell."""
    import numpy

    images = numpy.load(path)["images"]
    if images.ndim == 3:
        images = images[..., None]
    pixels = torch.from_numpy(numpy.ascontiguousarray(images)).movedim(-1, 1)
    if pixels.dtype != torch.uint8 or tuple(pixels.shape[1:]) != shape:
        found = f"{pixels.dtype} [C, H, W] = {list(pixels.shape[1:])}"
        raise SystemExit(f"{path}: `images` is {found}, but the flow takes uint8 {list(shape)}")
    return (pixels.float() + 0.5) / 256


@torch.no_grad()
def check(folder):
    """Compare log_prob with what atypical computed, on the CPU in f32; True where they agree."""
    flow, reference = load(folder), json.loads((Path(folder) / "reference.json").read_text(encoding="utf-8"))
    expected = torch.tensor(reference["log_prob"], dtype=torch.float64)
    found = flow.log_prob(torch.tensor(reference["x"])).double()
    error = ((found - expected).abs() / expected.abs().clamp(min=1)).max().item()
    agree = error <= TOLERANCE  # false for NaN, too
    verdict = "agrees" if agree else "DISAGREES"
    print(f"PyTorch {torch.__version__} {verdict} with atypical: log_prob of {len(expected)} inputs is off by {error:.1e} at most")
    return agree


@torch.no_grad()
def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="what `atypical export` wrote")
    parser.add_argument("images", nargs="?", help=".npz with uint8 `images`")
    parser.add_argument("--check", action="store_true", help="compare with reference.json")
    arguments = parser.parse_args()
    if not (arguments.check or arguments.images):
        parser.error("give --check, or an .npz of images")
    if arguments.check and not check(arguments.folder):
        sys.exit(1)
    if arguments.images:
        flow = load(arguments.folder)
        for batch in read_images(arguments.images, flow.shape).split(64):
            for value in flow.log_prob(batch).tolist():
                print(value)


if __name__ == "__main__":
    main()
