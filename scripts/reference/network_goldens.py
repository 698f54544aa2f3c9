#!/usr/bin/env python3
"""Golden values of encoders and decoders, with their gradients, from torch.nn: models/tests/goldens/network_*.safetensors.

Everything is computed in float64 from weights and inputs that float32 can hold. models/tests/zoo/network.rs reads them.
"""

import json
import math
import pathlib

import torch
from torch import nn

import golden_file

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/network_goldens.py, torch {torch.__version__}"
ACTIVATIONS = {"relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}

torch.set_default_dtype(torch.float64)


def f32(tensor):
    """Nearest values that float32 can hold, as float64."""
    return tensor.to(torch.float32).to(torch.float64)


def mlp(sizes, activation):
    """Modules in order, and the names of those that have weights."""
    modules, names = [], []
    for layer, (a, b) in enumerate(zip(sizes, sizes[1:])):
        if layer > 0:
            modules.append(activation())
        modules.append(nn.Linear(a, b))
        names.append(f"layers.{layer}")
    return modules, names


def networks(config, shape, vector):
    """Encoder and decoder of a configuration: each a module and the names of its layers."""
    activation = ACTIVATIONS[config.get("activation", "relu")]
    image, height, width = shape
    if config["kind"] == "mlp":
        sizes = [math.prod(shape), *config["hidden"], vector]
        return mlp(sizes, activation), mlp(sizes[::-1], activation)
    channels, kernel = [image, *config["channels"]], config.get("kernel", 3)
    strides = config.get("strides") or [1] * len(config["channels"])
    smallest = (channels[-1], height // math.prod(strides), width // math.prod(strides))
    encoder, encoder_names, decoder, decoder_names = [], [], [], []
    for layer, stride in enumerate(strides):
        a, b = channels[layer], channels[layer + 1]
        encoder += [nn.Conv2d(a, b, kernel, stride, kernel // 2), activation()]
        encoder_names.append(f"convs.{layer}")
    encoder += [nn.Flatten(), nn.Linear(math.prod(smallest), vector)]
    decoder += [nn.Linear(vector, math.prod(smallest)), nn.Unflatten(1, smallest)]
    for layer, stride in reversed(list(enumerate(strides))):
        a, b = channels[layer + 1], channels[layer]
        decoder += [
            activation(),
            nn.ConvTranspose2d(a, b, kernel, stride, kernel // 2, output_padding=stride - 1),
        ]
        decoder_names.append(f"deconvs.{len(decoder_names)}")
    return (encoder, encoder_names + ["output"]), (decoder, ["input"] + decoder_names)


def case(name, config, shape, vector, batch=3):
    torch.manual_seed(0)
    inputs, outputs = {}, {}
    ends = {"encoder": (batch, *shape), "decoder": (batch, vector)}
    for (part, dims), (modules, names) in zip(ends.items(), networks(config, shape, vector)):
        net = nn.Sequential(*([nn.Flatten()] if config["kind"] == "mlp" else []), *modules)
        weighted = [m for m in modules if isinstance(m, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d))]
        with torch.no_grad():
            for layer in weighted:
                layer.weight.copy_(f32(torch.randn_like(layer.weight) / math.sqrt(layer.weight[0].numel())))
                layer.bias.copy_(f32(torch.randn_like(layer.bias) * 0.3))
        x = f32(torch.randn(dims)).requires_grad_()
        y = net(x)
        cotangent = f32(torch.randn(y.shape))
        (y * cotangent).sum().backward()
        inputs |= {f"{part}.x": x, f"{part}.cotangent": cotangent}
        outputs |= {f"{part}.y": y, f"{part}.x.grad": x.grad}
        assert len(weighted) == len(names)
        for key, layer in zip(names, weighted):
            for kind in ("weight", "bias"):
                parameter = getattr(layer, kind)
                inputs[f"{part}.{key}.{kind}"] = parameter
                outputs[f"{part}.{key}.{kind}.grad"] = parameter.grad
    assert all(torch.equal(v, f32(v)) for v in inputs.values())
    tensors = {k: v.detach().to(torch.float32) for k, v in inputs.items()} | outputs
    path = FOLDER / f"network_{name}.safetensors"
    metadata = {"shape": shape, "vector": vector, "network": config}
    golden_file.write(path, tensors, {"config": json.dumps(metadata), "source": SOURCE})
    print(f"{path.name:44} {path.stat().st_size / 1024:7.1f} KiB")


def implicit(config, shape, features, noise_dimension, latent, batch=3):
    """The convolutional encoder with noise of an AVB: its features and the noise go through two more layers."""
    torch.manual_seed(1)
    activation = ACTIVATIONS[config["activation"]]
    (convs, conv_names), _ = networks(config, shape, features)
    mixer, mixer_names = mlp([features + noise_dimension, features, latent], activation)
    layers = dict(zip([f"convs.{name}" for name in conv_names], (m for m in convs if hasattr(m, "weight"))))
    layers |= dict(zip([f"mixer.{name}" for name in mixer_names], (m for m in mixer if hasattr(m, "weight"))))
    for layer in layers.values():
        for parameter in layer.parameters():
            parameter.data = f32(1.5 * parameter.data)
    x, noise = f32(torch.randn(batch, *shape)).requires_grad_(), f32(torch.randn(batch, noise_dimension)).requires_grad_()
    z = nn.Sequential(*mixer)(torch.cat([activation()(nn.Sequential(*convs)(x)), noise], 1))
    cotangent = f32(torch.randn(z.shape))
    (z * cotangent).sum().backward()
    inputs, outputs = {"x": x, "noise": noise, "cotangent": cotangent}, {"z": z, "x.grad": x.grad, "noise.grad": noise.grad}
    for name, layer in layers.items():
        for kind, parameter in layer.named_parameters():
            inputs[f"encoder.{name}.{kind}"] = parameter
            outputs[f"encoder.{name}.{kind}.grad"] = parameter.grad
    assert all(torch.equal(v, f32(v)) for v in inputs.values())
    tensors = {k: v.detach().to(torch.float32) for k, v in inputs.items()} | {k: v.detach() for k, v in outputs.items()}
    path = FOLDER / "network_implicit.safetensors"
    metadata = {"shape": shape, "latent": latent, "noise_dimension": noise_dimension, "features": features, "network": config}
    golden_file.write(path, tensors, {"config": json.dumps(metadata), "source": SOURCE})
    print(f"{path.name:44} {path.stat().st_size / 1024:7.1f} KiB")


for activation in ACTIVATIONS:
    case(f"mlp_{activation}", {"kind": "mlp", "hidden": [7, 5], "activation": activation}, [2, 3, 1], 4)
case("mlp_linear", {"kind": "mlp", "hidden": []}, [2, 3, 1], 4)
case("conv_relu", {"kind": "conv", "channels": [4, 3]}, [2, 5, 6], 3)
case(
    "conv_stride_2_silu",
    {"kind": "conv", "channels": [4, 3], "strides": [2, 2], "activation": "silu"},
    [2, 8, 12],
    3,
)
case(
    "conv_mixed_tanh",
    {"kind": "conv", "channels": [3, 4, 2], "strides": [1, 2, 1], "kernel": 5, "activation": "tanh"},
    [1, 6, 6],
    3,
)
case("conv_kernel_1", {"kind": "conv", "channels": [3], "strides": [2], "kernel": 1}, [1, 4, 4], 2)
implicit({"kind": "conv", "channels": [3, 4], "strides": [2, 1], "activation": "silu"}, [2, 6, 4], 5, 2, 3)
