#!/usr/bin/env python3
"""Golden values of adversarial autoencoders from PyTorch: models/tests/goldens/{mmd,avb,wae,bigan_*}.safetensors.

Losses are written here as the papers have them, and differentiated by PyTorch, the gradient penalty twice. Everything is computed in
float64 from weights and inputs that float32 can hold. models/tests/zoo/adversarial.rs reads them.
"""

import json
import pathlib

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/adversarial_goldens.py, torch {torch.__version__}"
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}

torch.set_default_dtype(torch.float64)


def f32(tensor):
    return tensor.to(torch.float32).to(torch.float64)


def mlp(sizes, activation):
    layers = []
    for n, m in zip(sizes, sizes[1:]):
        layers += [nn.Linear(n, m), ACTIVATIONS[activation]()]
    net = nn.Sequential(*layers[:-1])
    for parameter in net.parameters():
        parameter.data = f32(1.5 * parameter.data)
    return net


def weights(name, net):
    """Weights as Rust names them: `name.layer.weight`."""
    linear = [layer for layer in net if isinstance(layer, nn.Linear)]
    return {f"{name}.{i}.{k}": p for i, layer in enumerate(linear) for k, p in layer.named_parameters()}


def gradients(loss, parameters):
    grads = torch.autograd.grad(loss, list(parameters.values()), retain_graph=True)
    return {f"grad.{k}": g for k, g in zip(parameters, grads)}


def save(name, config, inputs, outputs):
    tensors = {k: v.detach() for k, v in outputs.items()}
    for key, value in inputs.items():
        assert torch.equal(value, f32(value)), f"{name}: {key} is not exact in float32"
        tensors[key] = value.detach().to(torch.float32)
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, tensors, {"config": json.dumps(config), "source": SOURCE})
    print(f"{name:16} {path.stat().st_size / 1024:6.1f} KiB")


def mmd(p, q, c):
    """Unbiased, pair by pair."""
    k = lambda a, b: c / (c + ((a - b) ** 2).sum())
    n, m = len(p), len(q)
    pp = sum(k(p[i], p[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    qq = sum(k(q[i], q[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return pp + qq - 2 * sum(k(a, b) for a in p for b in q) / (n * m)


def mmd_goldens():
    torch.manual_seed(0)
    p, q = f32(torch.randn(6, 3)).requires_grad_(), f32(1.5 * torch.randn(5, 3) + 0.5)
    value = mmd(p, q, 6.0)
    (grad,) = torch.autograd.grad(value, p)
    save("mmd", {"c": 6.0}, {"p": p, "q": q}, {"value": value.reshape(1), "grad.p": grad})


def avb_goldens():
    torch.manual_seed(1)
    dimension, latent, noise_dimension, batch = 3, 2, 2, 5
    encoder = mlp([dimension + noise_dimension, 6, latent], "silu")
    decoder = mlp([latent, 6, dimension], "silu")
    critic = mlp([dimension + latent, 7, 5, 1], "silu")
    log_sigma = f32(torch.tensor([-0.4])).requires_grad_()
    x, noise, prior = (f32(torch.randn(batch, n)) for n in (dimension, noise_dimension, latent))

    z = encoder(torch.cat([x, noise], 1))
    ratio = lambda z: critic(torch.cat([x, z], 1)).flatten()
    on_posterior, on_prior = ratio(z.detach()), ratio(prior)
    critic_loss = bce(on_posterior, torch.ones(batch)) + bce(on_prior, torch.zeros(batch))
    likelihood = torch.distributions.Normal(decoder(z), log_sigma.exp()).log_prob(x).sum(1)
    estimate = likelihood - ratio(z)

    of_critic = weights("critic", critic)
    rest = {**weights("encoder", encoder), **weights("decoder", decoder), "log_sigma": log_sigma}
    save(
        "avb",
        {"shape": [dimension, 1, 1], "latent": latent, "noise_dimension": noise_dimension,
         "network": {"kind": "mlp", "hidden": [6], "activation": "silu"},
         "critic_hidden": [7, 5], "critic_activation": "silu"},
        {"x": x, "noise": noise, "prior": prior, **of_critic, **rest},
        {"critic_loss": critic_loss.reshape(1), "estimate": estimate,
         **gradients(critic_loss, of_critic), **gradients(-estimate.mean(), rest)},
    )


def wae_goldens():
    torch.manual_seed(2)
    dimension, latent, batch, sigma, weight = 3, 2, 5, 1.5, 10.0
    encoder, decoder = mlp([dimension, 6, latent], "tanh"), mlp([latent, 6, dimension], "tanh")
    critic = mlp([latent, 5, 1], "tanh")
    x, prior = f32(torch.randn(batch, dimension)), f32(sigma * torch.randn(batch, latent))
    z = encoder(x)
    error = ((x - decoder(z)) ** 2).sum(1).mean()
    adversarial = error + weight * bce(critic(z).flatten(), torch.zeros(batch))
    by_mmd = error + weight * mmd(z, prior, 2 * latent * sigma**2)
    rest = {**weights("encoder", encoder), **weights("decoder", decoder)}
    outputs = {f"mmd.{k}": v for k, v in gradients(by_mmd, rest).items()}
    outputs |= {f"adversarial.{k}": v for k, v in gradients(adversarial, rest).items()}
    save(
        "wae",
        {"shape": [dimension, 1, 1], "latent": latent, "lambda": weight, "sigma": sigma,
         "network": {"kind": "mlp", "hidden": [6], "activation": "tanh"},
         "penalty": {"kind": "adversarial", "hidden": [5], "activation": "tanh"}},
        {"x": x, "prior": prior, **weights("critic", critic), **rest},
        {"mmd.loss": by_mmd.reshape(1), "adversarial.loss": adversarial.reshape(1), **outputs},
    )


def bigan_goldens(activation):
    torch.manual_seed(3)
    dimension, latent, batch, penalty_weight, weight = 3, 2, 5, 10.0, 0.7
    encoder, generator = mlp([dimension, 6, latent], activation), mlp([latent, 6, dimension], activation)
    critic = mlp([dimension + latent, 7, 5, 1], activation)
    x, prior = f32(torch.randn(batch, dimension)), f32(2 * torch.rand(batch, latent) - 1)
    share = f32(torch.rand(batch, 1))
    z, made = encoder(x), generator(prior)
    encoded, generated = torch.cat([x, z], 1), torch.cat([made, prior], 1)
    value = lambda pairs: critic(pairs).mean()
    between = (share * encoded + (1 - share) * generated).detach().requires_grad_()
    (slopes,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = ((slopes.norm(2, dim=1) - 1) ** 2).mean()
    critic_loss = value(generated.detach()) - value(encoded.detach()) + penalty_weight * penalty
    error = ((x - generator(z)) ** 2).sum(1).mean()
    loss = value(encoded) - value(generated) + weight * error
    of_critic = weights("critic", critic)
    rest = {**weights("encoder", encoder), **weights("generator", generator)}
    save(
        f"bigan_{activation}",
        {"shape": [dimension, 1, 1], "latent": latent, "lambda": penalty_weight,
         "reconstruction": weight, "critic_hidden": [7, 5], "critic_activation": activation,
         "network": {"kind": "mlp", "hidden": [6], "activation": activation}},
        {"x": x, "prior": prior, "share": share, **of_critic, **rest},
        {"critic_loss": critic_loss.reshape(1), "loss": loss.reshape(1), "between": between,
         "penalty": penalty.reshape(1),
         **{f"penalty.{k}": g for k, g in penalty_gradients(penalty, of_critic).items()},
         **gradients(critic_loss, of_critic), **gradients(loss, rest)},
    )


def penalty_gradients(penalty, parameters):
    """Zeros for biases that have no part in the slopes: the last, and all of a piecewise linear critic."""
    grads = torch.autograd.grad(penalty, list(parameters.values()), retain_graph=True, allow_unused=True)
    return {f"grad.{k}": torch.zeros_like(p) if g is None else g
            for (k, p), g in zip(parameters.items(), grads)}


mmd_goldens()
avb_goldens()
wae_goldens()
for name in ACTIVATIONS:
    bigan_goldens(name)
