"""Steps of a flow built from nflows modules, with random weights, and their weights under this project's names."""

import math

import torch
from nflows.nn.nets import ConvResidualNet, ResidualNet
from nflows.transforms import (
    ActNorm,
    AffineCouplingTransform,
    Logit,
    LULinear,
    OneByOneConvolution,
    PiecewiseRationalQuadraticCouplingTransform,
    PointwiseAffineTransform,
    RandomPermutation,
    SqueezeTransform,
)
from nflows.transforms.base import CompositeTransform, Transform
from nflows.utils.torchutils import create_alternating_binary_mask


class ReferenceLogit(Transform):
    """log(u / (1 - u + 1e-6)), the logit of `form: reference`, with its exact inverse and log-determinant."""

    EPSILON = 1e-6

    def forward(self, inputs, context=None):
        rest = 1 - inputs + self.EPSILON
        slope = math.log1p(self.EPSILON) - inputs.log() - rest.log()
        return (inputs / rest).log(), slope.flatten(1).sum(1)

    def inverse(self, inputs, context=None):
        outputs = (1 + self.EPSILON) * torch.sigmoid(inputs)
        return outputs, -self.forward(outputs)[1]


def logit(alpha, form):
    """`logit(alpha + scale x)`. nflows' own clamps at 1e-6, which the symmetric form never reaches."""
    scale = {"symmetric": 1 - 2 * alpha, "reference": 1 - alpha}[form]
    inner = {"symmetric": Logit(eps=1e-6), "reference": ReferenceLogit()}[form]
    return CompositeTransform([PointwiseAffineTransform(shift=alpha, scale=scale), inner])


def f32(tensor):
    """Nearest values that float32 can hold, as float64."""
    return tensor.to(torch.float32).to(torch.float64)


@torch.no_grad()
def round_parameters(module):
    """Make every weight a float32 value, so that the goldens are exact for float32 implementations."""
    for parameter in module.parameters():
        parameter.copy_(f32(parameter))


@torch.no_grad()
def randomise_net(net, output_std):
    """Weights that matter in every layer: nflows starts the second layer of each block near zero, which would hide it.

    The blocks' gain is below one, so that a stack of couplings stays well conditioned.
    """
    for layer in net.modules():
        if isinstance(layer, (torch.nn.Linear, torch.nn.Conv2d)):
            layer.weight.normal_(0, 0.7 / math.sqrt(layer.weight[0].numel()))
            layer.bias.normal_(0, 0.3)
    net.final_layer.weight.normal_(0, output_std / math.sqrt(net.final_layer.weight.shape[1]))
    net.final_layer.bias.normal_(0, 2 * output_std)


@torch.no_grad()
def randomise_lu(linear):
    """Off-diagonal entries that matter, diagonal of U between about 0.6 and 1.6."""
    size = 0.6 / math.sqrt(linear.features)
    linear.lower_entries.normal_(0, size)
    linear.upper_entries.normal_(0, size)
    linear.unconstrained_upper_diag.uniform_(-0.2, 1.3)
    linear.bias.normal_(0, 0.3)


def build_step(step, shape):
    """The nflows transform of one `Step` of config.rs on inputs of `shape`: [C, H, W], or [D] for vectors."""
    channels, image = shape[0], len(shape) == 3
    match step["kind"]:
        case "logit":
            return logit(step["alpha"], step["form"])
        case "squeeze":
            return SqueezeTransform(step["factor"])
        case "act_norm":
            return ActNorm(channels)
        case "conv1x1" if image:
            transform = OneByOneConvolution(channels)
            randomise_lu(transform)
            return transform
        case "conv1x1":
            linear = LULinear(channels)
            randomise_lu(linear)
            return CompositeTransform([RandomPermutation(channels), linear])
        case "coupling":
            return build_coupling(step, channels, image)


def build_coupling(step, channels, image):
    settings, kind = step["conditioner"], step["transform"]
    rational_quadratic = kind["kind"] == "rq_spline"

    def create_net(inputs, outputs):
        Net = ConvResidualNet if image else ResidualNet
        net = Net(inputs, outputs, settings["hidden"], num_blocks=settings["blocks"])
        randomise_net(net, 0.5 if rational_quadratic else 0.3)
        return net

    mask = create_alternating_binary_mask(channels, even=step["mask"] == "even")
    if not rational_quadratic:
        return AffineCouplingTransform(mask, create_net)
    return PiecewiseRationalQuadraticCouplingTransform(
        mask, create_net, num_bins=kind["bins"], tails="linear", tail_bound=kind["tail"]
    )


def net_tensors(net, single_pixel=False):
    """Weights of a residual network. On 1x1 maps only the centre of a 3x3 kernel meets data, and only it is stored."""

    def layer(module):
        weight = module.weight
        if weight.dim() == 2:
            weight = weight[:, :, None, None]
        if single_pixel:
            middle = weight.shape[-1] // 2
            weight = weight[:, :, middle : middle + 1, middle : middle + 1]
        return {"weight": weight, "bias": module.bias}

    layers = {"initial": net.initial_layer, "output": net.final_layer}
    for j, block in enumerate(net.blocks):
        pair = block.linear_layers if isinstance(net, ResidualNet) else block.conv_layers
        layers[f"blocks.{j}.first"], layers[f"blocks.{j}.second"] = pair
    return {
        f"conditioner.{name}.{key}": value
        for name, module in layers.items()
        for key, value in layer(module).items()
    }


def step_tensors(transform, shape):
    """Weights of one step under our names; none for steps without weights."""
    if isinstance(transform, ActNorm):
        return {"log_scale": transform.log_scale, "shift": transform.shift}
    if isinstance(transform, OneByOneConvolution):
        return linear_tensors(transform.permutation, transform)
    if isinstance(transform, CompositeTransform) and isinstance(transform._transforms[0], RandomPermutation):
        return linear_tensors(*transform._transforms)
    if hasattr(transform, "transform_net"):
        return net_tensors(transform.transform_net, single_pixel=shape[1:] == [1, 1])
    return {}


def linear_tensors(permutation, linear):
    lower, upper = linear._create_lower_upper()
    return {
        "permutation": permutation._permutation,
        "lower": lower.tril(-1),
        "upper": upper.triu(1),
        "diagonal_raw": linear.unconstrained_upper_diag,
        "bias": linear.bias,
    }
