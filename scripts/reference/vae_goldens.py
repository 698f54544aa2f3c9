#!/usr/bin/env python3
"""Golden values of variational autoencoders from torch.distributions, and of the discretised logistic from mpmath:
models/tests/goldens/{vae_*,discretized_logistic}.safetensors.

Everything is computed in float64 (or with 200 digits) from weights and inputs that float32 can hold. models/tests/zoo/autoencoder/ reads them.
"""

import itertools
import json
import math
import pathlib

import mpmath
import torch
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/vae_goldens.py, torch {torch.__version__}"

torch.set_default_dtype(torch.float64)
mpmath.mp.dps = 200


def f32(tensor):
    """Nearest values that float32 can hold, as float64."""
    return tensor.to(torch.float32).to(torch.float64)


def save(name, config, inputs, outputs):
    """Inputs and weights as float32 (exactly), outputs as float64."""
    assert all(torch.equal(v, f32(v)) for v in inputs.values())
    tensors = {k: v.detach().to(torch.float32) for k, v in inputs.items()} | outputs
    assert all(v.isfinite().all() for v in tensors.values())
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, tensors, {"config": json.dumps(config), "source": SOURCE})
    print(f"{path.name:36} {path.stat().st_size / 1024:7.1f} KiB")


def mlp(sizes):
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    with torch.no_grad():
        for layer in layers:
            layer.weight.copy_(f32(torch.randn_like(layer.weight) / math.sqrt(layer.in_features)))
            layer.bias.copy_(f32(torch.randn_like(layer.bias) * 0.3))
    modules = [m for layer in layers for m in (layer, nn.Tanh())][:-1]
    return nn.Sequential(*modules), {f"layers.{i}": layer for i, layer in enumerate(layers)}


def log_likelihood(kind, parameter, shape, x, location):
    """`log p(x | z)` of images on the unit cube, or of vectors."""
    if kind == "gaussian":
        return Independent(Normal(location, parameter.exp()), 1).log_prob(x)
    scale = parameter.exp().repeat_interleave(math.prod(shape[1:]))
    level = (x * 256).floor()
    cdf = lambda edge: torch.sigmoid((edge - location) / scale)
    above = torch.where(level == 255, torch.ones(()), cdf((level + 1) / 256))
    below = torch.where(level == 0, torch.zeros(()), cdf(level / 256))
    return ((above - below).log() + math.log(256)).sum(-1)


def vae(name, likelihood, shape, latent, hidden, beta, parameter, x, draws=5):
    torch.manual_seed(1)
    dimension, batch = math.prod(shape), len(x)
    encoder, encoder_layers = mlp([dimension, *hidden, 2 * latent])
    decoder, decoder_layers = mlp([latent, *hidden[::-1], dimension])
    key, parameter = parameter
    parameter = f32(parameter).requires_grad_()
    noise = f32(torch.randn(draws, batch, latent))

    mean, log_sigma = encoder(x).chunk(2, 1)
    posterior = Independent(Normal(mean, log_sigma.exp()), 1)
    prior = Independent(Normal(torch.zeros(latent), torch.ones(latent)), 1)
    z = mean + log_sigma.exp() * noise
    log_p = log_likelihood(likelihood["kind"], parameter, shape, x, decoder(z))
    log_weights = log_p + prior.log_prob(z) - posterior.log_prob(z)
    kl = kl_divergence(posterior, prior)
    loss = -(log_p.mean(0) - beta * kl).mean()
    inputs = {"x": x, "noise": noise, f"likelihood.{key}": parameter}
    outputs = {
        "reconstruction": log_p.mean(0),
        "kl": kl,
        "latent_kl": kl_divergence(Normal(mean, log_sigma.exp()), Normal(0.0, 1.0)).mean(0),
        "log_weights": log_weights,
    }
    layers = {f"encoder.{k}": v for k, v in encoder_layers.items()}
    layers |= {f"decoder.{k}": v for k, v in decoder_layers.items()}
    for layer, module in layers.items():
        inputs |= {f"{layer}.weight": module.weight, f"{layer}.bias": module.bias}
    weights = {k: v for k, v in inputs.items() if v.requires_grad}
    bound = torch.logsumexp(log_weights, 0) - math.log(draws)
    for which, value in (("loss", loss), ("bound", bound.sum())):
        gradients = torch.autograd.grad(value, weights.values(), retain_graph=True)
        outputs |= {f"{which}.{k}.grad": g for k, g in zip(weights, gradients)}
    outputs["bound"] = bound
    config = {
        "shape": shape,
        "latent": latent,
        "network": {"kind": "mlp", "hidden": hidden, "activation": "tanh"},
        "likelihood": likelihood,
        "beta": beta,
    }
    save(name, config, inputs, {k: v.detach() for k, v in outputs.items()})


def discretized_logistic():
    levels = [0, 1, 100, 127, 128, 254, 255]
    locations = [-50.0, -2.0, 0.0, 0.1, 0.5, 0.99, 1.0, 3.0]
    log_scales = [-12.0, -7.0, -4.0, -2.0, 0.0, 3.0, 10.0]
    rows = list(itertools.product(levels, locations, log_scales))
    inputs = f32(torch.tensor(rows))
    values = []
    for level, location, log_scale in inputs.tolist():
        def log_p(location, log_scale):
            edge = lambda k: (mpmath.mpf(k) / 256 - location) * mpmath.exp(-log_scale)
            sigmoid = lambda v: 1 / (1 + mpmath.exp(-v))
            a, b = edge(level), edge(level + 1)
            if level == 0:
                return mpmath.log(sigmoid(b))
            if level == 255:
                return mpmath.log(sigmoid(-a))
            # Where both are next to 1, their complements keep the digits.
            return mpmath.log(sigmoid(b) - sigmoid(a) if a < 0 else sigmoid(-a) - sigmoid(-b))

        with mpmath.workdps(200):
            at = (mpmath.mpf(location), mpmath.mpf(log_scale))
            values.append([log_p(*at), mpmath.diff(log_p, at, (1, 0)), mpmath.diff(log_p, at, (0, 1))])
    values = torch.tensor([[float(v) for v in row] for row in values])
    level, location, log_scale = inputs.unbind(1)
    log_p, by_location, by_log_scale = values.unbind(1)
    save(
        "discretized_logistic",
        {},
        {"level": level, "location": location, "log_scale": log_scale},
        {"log_p": log_p, "by_location": by_location, "by_log_scale": by_log_scale},
    )


torch.manual_seed(0)
vae(
    "vae_gaussian",
    {"kind": "gaussian"},
    [6, 1, 1],
    2,
    [8],
    0.5,
    ("log_sigma", torch.tensor([-0.3])),
    f32(torch.randn(4, 6)),
)
pixels = torch.randint(0, 256, (3, 12))
pixels[0, :4] = torch.tensor([0, 255, 1, 254])
vae(
    "vae_discretized_logistic",
    {"kind": "discretized_logistic"},
    [3, 2, 2],
    3,
    [7],
    2.0,
    ("log_scale", torch.tensor([-2.0, -0.5, -1.1])),
    f32((pixels + 0.5) / 256),
)
discretized_logistic()
