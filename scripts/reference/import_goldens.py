#!/usr/bin/env python3
"""Checkpoints as `layer6ai-labs/dgm_ood_detection` writes them, of small flows, and what PyTorch says of them: tests/goldens/import/.

The modules below have the names that the reference's have, so that the state dicts are those of its `NormalizingFlow`; the transforms are those of nflows
0.14. src/import reads the files in its tests.
"""

import json
import math
import pathlib
import warnings

import torch
import yaml
from nflows.distributions.normal import StandardNormal
from nflows.flows.base import Flow
from nflows.nn.nets import ConvResidualNet, ResidualNet
from nflows.transforms import (
    ActNorm,
    AffineCouplingTransform,
    LULinear,
    OneByOneConvolution,
    PiecewiseRationalQuadraticCouplingTransform,
    RandomPermutation,
    SqueezeTransform,
)
from nflows.transforms.base import CompositeTransform, MultiscaleCompositeTransform, Transform

from nflows_modules import randomise_lu, randomise_net

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "goldens" / "import"
EPSILON = 1e-6

warnings.filterwarnings("ignore", message="torch.triangular_solve is deprecated")


class LogitTransform(Transform):
    """z = log(u / (1 - u + 1e-6)) with u = alpha + (1 - alpha) x. The reference decodes to u, not to x."""

    def __init__(self, alpha=0.05):
        super().__init__()
        self.alpha = alpha

    def forward(self, inputs, context=None):
        u = self.alpha + (1 - self.alpha) * inputs
        slope = math.log(1 - self.alpha) - torch.log(1 - u + EPSILON) - torch.log(u + EPSILON)
        return torch.log(u / (1 - u + EPSILON)), slope.flatten(1).sum(1)

    def inverse(self, inputs, context=None):
        u = torch.sigmoid(inputs)
        return u, torch.zeros(len(u))


class ConfigurableCouplingTransform(Transform):
    def __init__(self, coupling_transform_cls, net, mask, **arguments):
        super().__init__()
        Coupling = {"AffineCouplingTransform": AffineCouplingTransform}.get(
            coupling_transform_cls.rsplit(".", 1)[-1], PiecewiseRationalQuadraticCouplingTransform
        )
        Net = ConvResidualNet if net["class_path"].endswith("ConvResidualNet") else ResidualNet
        settings = {k: v for k, v in net["init_args"].items() if k != "activation"}
        signs = torch.tensor([-1.0 if i % 2 == 0 else 1.0 for i in range(mask["dim"])])
        self._value = Coupling(
            mask=-signs if mask.get("flip") else signs,
            transform_net_create_fn=lambda inputs, outputs: Net(inputs, outputs, **settings),
            **arguments,
        )

    def forward(self, inputs, context=None):
        return self._value(inputs, context)

    def inverse(self, inputs, context=None):
        return self._value.inverse(inputs, context)


CLASSES = {
    cls.__name__: cls
    for cls in (ActNorm, LULinear, OneByOneConvolution, RandomPermutation, SqueezeTransform, ConfigurableCouplingTransform)
}


class NormalizingFlow(torch.nn.Module):
    """The module tree of the reference's class of that name."""

    def __init__(self, transform, base_distribution, logit_transform=False, **_):
        super().__init__()
        self.register_buffer("data_min", torch.tensor(0.0))
        self.register_buffer("data_max", torch.tensor(255.0 if logit_transform else 1.0))
        modules, splits = [], []
        for item in self.unrolled(transform):
            modules.append(CLASSES[item["class_path"].rsplit(".", 1)[-1]](**item["init_args"]))
            splits.append(item.get("multiscale"))
        if any(splits):
            self.transform = MultiscaleCompositeTransform(sum(s is not None for s in splits))
            level = []
            for module, split in zip(modules, splits):
                level.append(module)
                if split:
                    self.transform.add_transform(CompositeTransform(level), tuple(split["transform_output_shape"]))
                    level = []
        else:
            self.transform = CompositeTransform(modules)
        self.base_distribution = StandardNormal(base_distribution["init_args"]["shape"])
        if logit_transform:
            self.transform = CompositeTransform([LogitTransform(), self.transform])
        self._nflow = Flow(self.transform, self.base_distribution)

    @staticmethod
    def unrolled(transform):
        for item in transform:
            if "repeat_n" in item:
                yield from item["content"] * item["repeat_n"]
            else:
                yield item


def nflows(path, **arguments):
    return {"class_path": f"nflows.transforms.{path}", "init_args": arguments}


def coupling(kind, channels, flip, hidden, image=True):
    spline = {"tails": "linear", "num_bins": 4, "tail_bound": 3.0} if kind.startswith("Piecewise") else {}
    name, width = ("ConvResidualNet", "hidden_channels") if image else ("ResidualNet", "hidden_features")
    net = {"class_path": f"nflows.nn.nets.resnet.{name}", "init_args": {width: hidden, "num_blocks": 2}}
    if image:
        net["init_args"] |= {"activation": "torch.nn.functional.relu", "dropout_probability": 0.2, "use_batch_norm": False}
    return {
        "class_path": "model_zoo.density_estimator.flow.ConfigurableCouplingTransform",
        "init_args": {
            "coupling_transform_cls": f"nflows.transforms.{kind}",
            "net": net,
            "mask": {"dim": channels, "flip": flip},
            **spline,
        },
    }


RQ, AFFINE = "PiecewiseRationalQuadraticCouplingTransform", "AffineCouplingTransform"


def image_steps(kind):
    """As the reference's greyscale flow, smaller: levels of 4 and 8 channels and one of single pixels."""
    steps = []
    for channels, side in ((4, 4), (8, 2)):
        steps += [
            nflows("reshape.SqueezeTransform", factor=2),
            {
                "repeat_n": 1,
                "content": [
                    step
                    for flip in (True, False)
                    for step in (
                        nflows("normalization.ActNorm", features=channels),
                        nflows("conv.OneByOneConvolution", num_channels=channels),
                        coupling(kind, channels, flip, 8),
                    )
                ],
            },
            nflows("conv.OneByOneConvolution", num_channels=channels)
            | {"multiscale": {"transform_output_shape": [channels, side, side]}},
        ]
    return steps + [
        nflows("reshape.SqueezeTransform", factor=2),
        nflows("normalization.ActNorm", features=16),
        coupling(kind, 16, True, 12),
        nflows("conv.OneByOneConvolution", num_channels=16) | {"multiscale": {"transform_output_shape": [16, 1, 1]}},
    ]


def vector_steps(dimension):
    return [
        {
            "repeat_n": 2,
            "content": [
                nflows("normalization.ActNorm", features=dimension),
                nflows("permutations.RandomPermutation", features=dimension),
                nflows("lu.LULinear", features=dimension),
                coupling(RQ, dimension, True, 8, image=False),
                coupling(AFFINE, dimension, False, 8, image=False),
            ],
        }
    ]


def configuration(shape, transform, images):
    dimension = math.prod(shape)
    return {
        "data": {"dataset": "fashion-mnist", "make_valid_loader": True, "train_batch_size": 128, "valid_batch_size": 128, "test_batch_size": 128},
        "trainer": {
            "trainer_cls": "model_zoo.trainers.single_trainer.SingleTrainer",
            "optimizer": {
                "class_path": "torch.optim.AdamW",
                "init_args": {"lr": 0.001},
                "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.99}},
            },
            "writer": {"type": "wandb", "tag_group": "flow"},
            "sample_freq": 1,
            "max_epochs": 400,
            "early_stopping_metric": "loss",
            "max_bad_valid_epochs": 30,
            "max_grad_norm": 1.0,
            "progress_bar": True,
        },
        "model": {
            "class_path": "model_zoo.density_estimator.flow.NormalizingFlow",
            "init_args": {
                "flatten": False,
                "data_shape": shape,
                "denoising_sigma": None,
                "dequantize": images,
                "scale_data": images,
                "whitening_transform": False,
                "logit_transform": images,
                "clamp_samples": False,
                "base_distribution": {"class_path": "nflows.distributions.StandardNormal", "init_args": {"shape": [dimension]}},
                "transform": transform,
            },
        },
    }


def make(name, shape, transform, images):
    torch.manual_seed(len(name))
    config = configuration(shape, transform, images)
    flow = NormalizingFlow(**config["model"]["init_args"])
    for module in flow.modules():
        if isinstance(module, (ConvResidualNet, ResidualNet)):
            randomise_net(module, 0.3)
        if isinstance(module, LULinear):
            randomise_lu(module)
    draw = (lambda n: torch.rand(n, *shape)) if images else (lambda n: 2 * torch.randn(n, *shape))
    # The first forward pass in training mode initialises ActNorm.
    flow.train()
    with torch.no_grad():
        flow._nflow.log_prob(draw(256))
    flow.eval()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / f"{name}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    torch.save({"iteration": 1, "epoch": 1, "module_state_dict": flow.state_dict(), "best_valid_loss": 0.0}, FOLDER / f"{name}.pt")

    flow = flow.double()
    torch.set_default_dtype(torch.float64)
    x = draw(3).float().double()
    with torch.no_grad():
        log_prob = flow._nflow.log_prob(x)
        z = flow._nflow.transform_to_noise(x)
    decode = lambda z: flow._nflow._transform.inverse(z[None])[0].flatten()
    jacobian = [torch.autograd.functional.jacobian(decode, one) for one in z]
    eigenvalues = torch.stack([torch.linalg.svdvals(j).square() for j in jacobian])
    torch.set_default_dtype(torch.float32)
    expected = {"x": x.flatten(1).tolist(), "log_prob": log_prob.tolist(), "z": z.flatten(1).tolist(), "eigenvalues": eigenvalues.tolist()}
    (FOLDER / f"{name}.json").write_text(json.dumps(expected))
    size = (FOLDER / f"{name}.pt").stat().st_size / 1024
    print(f"{name:10} {size:6.1f} KiB, log p = {log_prob.tolist()}, eigenvalues {eigenvalues.min():.1e} to {eigenvalues.max():.1e}")


if __name__ == "__main__":
    make("image_rq", [1, 8, 8], image_steps(RQ), images=True)
    make("image_glow", [1, 8, 8], image_steps(AFFINE), images=True)
    make("vector", [6], vector_steps(6), images=False)
