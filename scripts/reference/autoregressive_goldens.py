#!/usr/bin/env python3
"""Golden values of autoregressive models: models/tests/goldens/{logistic_mixture_*,pixel_cnn_*,lstm_mixture}.safetensors.

The discretised logistics are computed as the difference of two sigmoids with 60 digits, the network of PixelCNN++ by shifted and cropped convolutions as its authors
wrote it, the LSTM by torch.nn.LSTM and the Gaussians by torch.distributions: all in float64 from weights and inputs that float32 can hold.
"""

import json
import pathlib

import mpmath
import torch
import torch.nn.functional as F
from torch.distributions import Categorical, MixtureSameFamily, Normal

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/autoregressive_goldens.py, torch {torch.__version__}, mpmath {mpmath.__version__}"
torch.set_default_dtype(torch.float64)
mpmath.mp.dps = 60


def f32(x):
    return x.to(torch.float32).to(torch.float64)


def save(name, config, inputs, outputs):
    """Inputs and weights as float32 (exactly), outputs as float64."""
    tensors = {k: v.detach() for k, v in outputs.items()}
    for key, value in inputs.items():
        assert torch.equal(value, f32(value)), f"{name}: {key} is not exact in float32"
        tensors[key] = value.detach().to(torch.float32)
    for key, value in tensors.items():
        assert value.isfinite().all(), f"{name}: {key}"
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, tensors, {"config": json.dumps(config), "source": SOURCE})
    print(f"{name:24} {path.stat().st_size / 1024:7.1f} KiB")


# Discretised logistics -----------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + mpmath.exp(-x))


def level_probability(level, mean, log_scale):
    """The mass of a logistic between the edges of a level."""
    x, half, scale = mpmath.mpf(level) / mpmath.mpf("127.5") - 1, mpmath.mpf(1) / 255, mpmath.exp(log_scale)
    if x > mean:
        # From the other side, where the digits are.
        x, mean, level = -x, -mean, 255 - level
    above = 1 if level == 255 else sigmoid((x + half - mean) / scale)
    below = 0 if level == 0 else sigmoid((x - half - mean) / scale)
    return above - below


def log_probabilities(parameters, levels, min_log_scale):
    """`log P(channel | channels before)` of each channel of each pixel; parameters [batch, numbers, mixtures, pixels]."""
    batch, channels, pixels = levels.shape
    mixtures = parameters.shape[2]
    out = torch.zeros(batch, channels, pixels)
    for b in range(batch):
        for p in range(pixels):
            rows = [[mpmath.mpf(v.item()) for v in row] for row in parameters[b, :, :, p]]
            logits, rest = rows[0], rows[1:]
            means, scales, coefficients = rest[:channels], rest[channels : 2 * channels], rest[2 * channels :]
            joint = [mpmath.exp(v) for v in logits]
            before = mpmath.fsum(joint)
            for c in range(channels):
                level = int(levels[b, c, p])
                for k in range(mixtures):
                    mean = means[c][k]
                    for earlier in range(c):
                        coefficient = mpmath.tanh(coefficients[c * (c - 1) // 2 + earlier][k])
                        mean += coefficient * (mpmath.mpf(int(levels[b, earlier, p])) / mpmath.mpf("127.5") - 1)
                    scale = max(mpmath.log(sigmoid(scales[c][k])), mpmath.mpf(min_log_scale))
                    joint[k] *= level_probability(level, mean, scale)
                after = mpmath.fsum(joint)
                out[b, c, p] = float(mpmath.log(after) - mpmath.log(before))
                before = after
    return out


def logistic_mixture(channels, seed):
    torch.manual_seed(seed)
    batch, mixtures, pixels = 6, 3, 8
    numbers = 1 + 2 * channels + channels * (channels - 1) // 2
    parameters = torch.randn(batch, numbers, mixtures, pixels)
    scales = slice(1 + channels, 1 + 2 * channels)
    # Usual scales, some that the floor raises, wide ones, and the widest.
    parameters[:3, scales] = parameters[:3, scales] * 2 - 4
    parameters[3, scales] = -9
    parameters[4, scales] = 6
    parameters[5, scales] = 30
    parameters = f32(parameters)
    levels = torch.randint(0, 256, (batch, channels, pixels)).to(torch.float64)
    levels[:, :, 0], levels[:, :, 1] = 0, 255
    conditionals = log_probabilities(parameters, levels, -7)
    save(
        f"logistic_mixture_{channels}",
        {"channels": channels, "min_log_scale": -7.0},
        {"parameters": parameters.flatten(1, 2), "levels": levels},
        {"log_conditionals": conditionals, "log_prob": conditionals.sum(1)},
    )


# PixelCNN++ ----------------------------------------------------------------------------------------------------------


def down_shifted(x, conv, kernel):
    """Convolution of what is above and in the same row."""
    r = kernel // 2
    return F.conv2d(F.pad(x, (r, r, r, 0)), conv["weight"], conv["bias"])


def down_right_shifted(x, conv, kernel):
    """Convolution of what is above on the left and on the left in the same row."""
    r = kernel // 2
    return F.conv2d(F.pad(x, (r, 0, r, 0)), conv["weight"], conv["bias"])


def gated(x, convs, convolve, kernel, beside=0):
    h = convolve(F.relu(x), convs[0], kernel) + beside
    a, b = convolve(F.relu(h), convs[1], kernel).chunk(2, 1)
    return x + a * torch.sigmoid(b)


def pixel_cnn(shape, hidden, blocks, kernel, mixtures, batch):
    torch.manual_seed(sum(shape))
    channels, height, width = shape
    tensors = {}

    def conv(name, inputs, outputs, rows, columns):
        bound = (1 / (inputs * rows * columns)) ** 0.5
        weight = f32((torch.rand(outputs, inputs, rows, columns) * 2 - 1) * bound)
        bias = f32(torch.rand(outputs) - 0.5)
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = weight, bias
        return {"weight": weight, "bias": bias}

    half = kernel // 2 + 1
    numbers = 1 + 2 * channels + channels * (channels - 1) // 2
    x = f32(torch.rand(batch, channels, height, width))
    levels = (x * 256).floor()
    image = torch.cat([levels / 127.5 - 1, torch.ones(batch, 1, height, width)], 1)
    u = down_shifted(F.pad(image, (0, 0, 1, 0))[:, :, :-1], conv("vertical", channels + 1, hidden, half, kernel), kernel)
    h = down_right_shifted(
        F.pad(image, (1, 0))[:, :, :, :-1], conv("horizontal", channels + 1, hidden, half, half), kernel
    )
    for i in range(blocks):
        convs = [
            conv(f"layers.{i}.vertical.first", hidden, hidden, half, kernel),
            conv(f"layers.{i}.vertical.second", hidden, 2 * hidden, half, kernel),
        ]
        u = gated(u, convs, down_shifted, kernel)
        link = conv(f"layers.{i}.link", hidden, hidden, 1, 1)
        convs = [
            conv(f"layers.{i}.horizontal.first", hidden, hidden, half, half),
            conv(f"layers.{i}.horizontal.second", hidden, 2 * hidden, half, half),
        ]
        beside = F.conv2d(F.relu(u), link["weight"], link["bias"])
        h = gated(h, convs, down_right_shifted, kernel, beside)
    output = conv("output", hidden, numbers * mixtures, 1, 1)
    parameters = F.conv2d(F.relu(h), output["weight"], output["bias"])
    parameters = parameters.reshape(batch, numbers, mixtures, height * width)
    conditionals = log_probabilities(parameters, levels.flatten(2), -7).flatten(1)
    dimension = channels * height * width
    log_prob = conditionals.sum(1) + dimension * torch.tensor(256.0).log()
    config = dict(shape=shape, hidden=hidden, blocks=blocks, kernel=kernel, mixtures=mixtures)
    save(
        f"pixel_cnn_{channels}",
        config,
        {"x": x.flatten(1), **tensors},
        {"log_conditionals": conditionals, "log_prob": log_prob},
    )


# LSTM ----------------------------------------------------------------------------------------------------------------


def lstm_mixture():
    torch.manual_seed(3)
    batch, dimension, hidden, layers, mixtures, min_sigma = 5, 4, 6, 2, 3, 0.01
    lstm = torch.nn.LSTM(1, hidden, layers, batch_first=True)
    head = torch.nn.Linear(hidden, 3 * mixtures)
    tensors = {}
    with torch.no_grad():
        for parameter in [*lstm.parameters(), *head.parameters()]:
            parameter.copy_(f32(parameter * 2))
        for layer in range(layers):
            # Ours has one bias.
            getattr(lstm, f"bias_hh_l{layer}").zero_()
            for ours, theirs in [("input", "weight_ih"), ("recurrent", "weight_hh"), ("bias", "bias_ih")]:
                tensors[f"cells.{layer}.{ours}"] = getattr(lstm, f"{theirs}_l{layer}").clone()
        tensors["output.weight"], tensors["output.bias"] = head.weight, head.bias
        x = f32(torch.randn(batch, dimension) * 2)
        before = torch.cat([torch.zeros(batch, 1), x[:, :-1]], 1).unsqueeze(2)
        logits, means, s = head(lstm(before)[0]).chunk(3, 2)
        components = Normal(means, F.softplus(s) + min_sigma)
        conditionals = MixtureSameFamily(Categorical(logits=logits), components).log_prob(x)
    config = dict(shape=[dimension, 1, 1], hidden=hidden, layers=layers, mixtures=mixtures, min_sigma=min_sigma)
    save(
        "lstm_mixture",
        config,
        {"x": x, **tensors},
        {"log_conditionals": conditionals, "log_prob": conditionals.sum(1)},
    )


logistic_mixture(1, 1)
logistic_mixture(3, 2)
pixel_cnn((1, 6, 5), hidden=8, blocks=2, kernel=3, mixtures=2, batch=2)
pixel_cnn((3, 3, 4), hidden=4, blocks=1, kernel=5, mixtures=2, batch=2)
lstm_mixture()
