#!/usr/bin/env python3
"""Golden values of flows, their steps and their networks from nflows 0.14: models/tests/goldens/*.safetensors.

Everything is computed in float64 from weights and inputs that float32 can hold. models/tests/golden/mod.rs reads them.
"""

import copy
import json
import pathlib
import warnings

import numpy as np
import torch
from nflows.distributions.normal import StandardNormal
from nflows.nn.nets import ConvResidualNet, ResidualNet
from nflows.transforms import ActNorm
from nflows.transforms.base import CompositeTransform, MultiscaleCompositeTransform
from nflows.transforms.splines.rational_quadratic import unconstrained_rational_quadratic_spline

import golden_file
from nflows_modules import (
    build_step,
    f32,
    net_tensors,
    randomise_net,
    round_parameters,
    step_tensors,
)

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "models" / "tests" / "goldens"
SOURCE = f"scripts/reference/flow_goldens.py, nflows 0.14, torch {torch.__version__}"
ACT_NORM, CONV1X1, SPLIT = {"kind": "act_norm"}, {"kind": "conv1x1"}, {"kind": "split"}
RQ = {"kind": "rq_spline", "bins": 8, "tail": 3.0}
AFFINE = {"kind": "affine"}

# nflows' LU inverse calls torch.triangular_solve, which torch deprecates but still computes correctly.
warnings.filterwarnings("ignore", message="torch.triangular_solve is deprecated")
torch.set_default_dtype(torch.float64)


def save(name, config, inputs, outputs):
    """Inputs and weights as float32 (exactly), outputs as float64, integers as they are."""
    tensors = {k: v.detach() for k, v in outputs.items()}
    for key, value in inputs.items():
        value = value.detach()
        if value.is_floating_point():
            assert torch.equal(value, f32(value)), f"{name}: {key} is not exact in float32"
            value = value.to(torch.float32)
        tensors[key] = value
    for key, value in tensors.items():
        assert value.isfinite().all(), f"{name}: {key}"
    path = FOLDER / f"{name}.safetensors"
    golden_file.write(path, tensors, {"config": json.dumps(config), "source": SOURCE})
    print(f"{name:24} {path.stat().st_size / 1024:7.1f} KiB")


def close(a, b, tolerance=1e-8):
    assert torch.allclose(a, b, rtol=tolerance, atol=tolerance), (a - b).abs().max()


# Splines -------------------------------------------------------------------------------------------------------------


def rq_spline(bins, tail):
    """Rows of elements, each with its own parameters; `rows` in the metadata names the ranges."""
    torch.manual_seed(10 + bins)
    parameters = 3 * bins - 1
    random = torch.randn(64, parameters)
    extreme = torch.rand(32, parameters) * 16 - 8
    edges = torch.tensor([-1.0, 1.0, -1 - 2e-7, 1 + 2e-7, -1 + 1e-7, 1 - 1e-7, -5.0, 5.0, 0.0]) * tail
    at_edge = torch.randn(len(edges), parameters)
    # Zero parameters: equal bins, whose knots float32 can hold; then knots of random bins, as near as float32 comes.
    even_knots = torch.linspace(-tail, tail, bins + 1)
    even = torch.zeros(bins + 1, parameters)
    one = torch.randn(parameters)
    widths = 1e-3 + (1 - 1e-3 * bins) * torch.softmax(f32(one)[:bins], 0)
    random_knots = -tail + 2 * tail * widths.cumsum(0)[:-1]
    at_knot = one.expand(bins - 1, parameters)

    blocks = {
        "random": (random, torch.linspace(-1.3, 1.3, 64) * tail),
        "extreme": (extreme, (torch.rand(32) * 2 - 1) * tail),
        "edges": (at_edge, edges),
        "even_knots": (even, even_knots),
        "random_knots": (at_knot, random_knots),
    }
    rows, start = {}, 0
    for key, (_, x) in blocks.items():
        rows[key] = [start, start + len(x)]
        start += len(x)
    params = f32(torch.cat([p for p, _ in blocks.values()]))
    x = f32(torch.cat([x for _, x in blocks.values()]))

    def spline(value, inverse):
        w, h, d = params.split([bins, bins, bins - 1], dim=-1)
        return unconstrained_rational_quadratic_spline(
            value, w, h, d, inverse=inverse, tails="linear", tail_bound=tail
        )

    z, log_det = spline(x, False)
    back, back_log_det = spline(z, True)
    close(back, x, 1e-9)
    z_decode = f32(z)
    x_decode, log_det_decode = spline(z_decode, True)
    save(
        f"rq_spline_{bins}",
        {"kind": "rq_spline", "bins": bins, "tail": tail, "rows": rows},
        {"params": params, "x": x, "z_decode": z_decode},
        {"z": z, "logabsdet": log_det, "x_decode": x_decode, "logabsdet_decode": log_det_decode},
    )


# Networks ------------------------------------------------------------------------------------------------------------


def residual_net(name, Net, x, outputs, kernel):
    net = Net(x.shape[1], outputs, 8, num_blocks=2)
    randomise_net(net, 1.0)
    round_parameters(net)
    conditioner = {"hidden": 8, "blocks": 2, "dropout": 0.0, "kernel": kernel}
    config = {"kind": name, "channels": [x.shape[1], outputs], "conditioner": conditioner}
    save(name, config, {"x": x, **net_tensors(net)}, {"y": net(x)})


# Flows, from one step to the presets ---------------------------------------------------------------------------------


class Flow:
    """A list of steps as one nflows transform."""

    def __init__(self, shape, steps, vector=False):
        self.config = {"shape": shape, "transform": steps}
        self.dimension = int(np.prod(shape))
        self.steps = []  # (number of the step, transform, shape of its input)
        levels, shapes = [[]], []
        shape = list(shape)
        for i, step in enumerate(steps):
            if step["kind"] == "split":
                shapes.append(tuple(shape))
                levels.append([])
                shape[0] //= 2
                continue
            transform = build_step(step, shape[:1] if vector else shape)
            self.steps.append((i, transform, list(shape)))
            levels[-1].append(transform)
            if step["kind"] == "squeeze":
                shape = list(transform.get_output_shape(*shape))
        shapes.append(tuple(shape))
        if len(levels) == 1:
            self.transform = CompositeTransform(levels[0])
        else:
            # The logit comes before the levels.
            first = levels[0].pop(0)
            multiscale = MultiscaleCompositeTransform(len(levels), split_dim=1)
            for level, out in zip(levels, shapes):
                multiscale.add_transform(CompositeTransform(level), out)
            self.transform = CompositeTransform([first, multiscale])

    def initialise(self, batch):
        """nflows' data-dependent initialisation, then a push away from it."""
        self.transform.train()
        with torch.no_grad():
            self.transform(batch)
            for _, step, _ in self.steps:
                if isinstance(step, ActNorm):
                    step.log_scale += 0.15 * torch.randn_like(step.log_scale)
                    step.shift += 0.2 * torch.randn_like(step.shift)
        self.finish()

    def finish(self):
        self.transform.eval()
        round_parameters(self.transform)

    def tensors(self):
        return {
            f"steps.{i}.{key}": value
            for i, step, shape in self.steps
            for key, value in step_tensors(step, shape).items()
        }

    def goldens(self, x):
        """Inputs and outputs of both directions."""
        with torch.no_grad():
            z, log_det = self.transform(x)
            close(self.transform.inverse(z)[0], x)
            z_decode = f32(z)
            x_decode, log_det_decode = self.transform.inverse(z_decode)
            log_prob = StandardNormal([self.dimension]).log_prob(z.flatten(1)) + log_det
        inputs = {"x": x, "z_decode": z_decode, **self.tensors()}
        outputs = {
            "z": z,
            "logabsdet": log_det,
            "log_prob": log_prob,
            "x_decode": x_decode,
            "logabsdet_decode": log_det_decode,
        }
        return inputs, outputs

    def jacobians(self, z):
        """Dense dx/dz, rows and columns flattened, and the eigenvalues of JᵀJ in ascending order."""
        jacobians = []
        for one in z:
            decode = lambda z: self.transform.inverse(z[None])[0].flatten()
            jacobians.append(torch.autograd.functional.jacobian(decode, one))
        jacobian = torch.stack(jacobians)
        eigenvalues = squared_singular_values(jacobian)
        gram = torch.linalg.eigvalsh(jacobian.mT @ jacobian)
        assert (eigenvalues - gram).abs().max() < 1e-12 * gram.max()
        return {"jacobian": jacobian, "eigenvalues": eigenvalues, **self.float32_errors(z, jacobian, eigenvalues)}

    def float32_errors(self, z, jacobian, eigenvalues):
        """How far nflows itself is off in float32: what a float32 implementation can be asked for."""
        transform = copy.deepcopy(self.transform).float()
        torch.set_default_dtype(torch.float32)
        decode = lambda z: transform.inverse(z[None])[0].flatten()
        single = torch.stack([torch.autograd.functional.jacobian(decode, one) for one in z.float()]).double()
        torch.set_default_dtype(torch.float64)
        spectrum = squared_singular_values(single)
        return {
            "jacobian_f32_error": (single - jacobian).flatten(1).norm(dim=1) / jacobian.flatten(1).norm(dim=1),
            "eigenvalues_f32_error": ((spectrum - eigenvalues).abs() / eigenvalues).amax(1),
        }


def squared_singular_values(jacobian):
    """Eigenvalues of JᵀJ, ascending, with the relative accuracy of the small ones, which eigh of JᵀJ loses."""
    return torch.linalg.svdvals(jacobian).square().flip(-1)


def coupling(transform, mask, hidden=8, kernel=3):
    conditioner = {"hidden": hidden, "blocks": 2, "dropout": 0.0, "kernel": kernel}
    return {"kind": "coupling", "transform": transform, "mask": mask, "conditioner": conditioner}


def act_norm(name, x, shape):
    flow = Flow(shape, [ACT_NORM], vector=x.dim() == 2)
    norm = flow.steps[0][1]
    norm.train()
    norm(x)
    # What the initialisation gives, before rounding: for the test of the initialisation alone.
    init = {"init.log_scale": norm.log_scale.detach().clone(), "init.shift": norm.shift.detach().clone()}
    flow.finish()
    inputs, outputs = flow.goldens(x)
    save(name, flow.config, inputs, {**outputs, **init})


def conv1x1():
    flow = Flow([6, 4, 5], [CONV1X1])
    flow.finish()
    inputs, outputs = flow.goldens(f32(torch.randn(3, 6, 4, 5)))
    save("conv1x1", flow.config, inputs, outputs)


def logit(form):
    torch.manual_seed(20)
    flow = Flow([1, 4, 4], [{"kind": "logit", "alpha": 0.05, "form": form}])
    # Near the upper end, float32 does not hold the reference's 1e-6.
    top = {"symmetric": 1.0, "reference": 0.99}[form]
    x = f32(torch.rand(3, 1, 4, 4) * top)
    x[0, 0, 0, 0], x[0, 0, 0, 1] = 0.0, f32(torch.tensor(top))
    inputs, outputs = flow.goldens(x)
    save(f"logit_{form}", flow.config, inputs, outputs)


def squeeze(factor, shape):
    flow = Flow(shape, [{"kind": "squeeze", "factor": factor}])
    inputs, outputs = flow.goldens(f32(torch.randn(2, *shape)))
    save(f"squeeze_{factor}", flow.config, inputs, outputs)


def one_coupling(name, transform, mask, x):
    vector = x.dim() == 2
    shape = [x.shape[1], 1, 1] if vector else list(x.shape[1:])
    flow = Flow(shape, [coupling(transform, mask, kernel=1 if vector else 3)], vector)
    flow.finish()
    inputs, outputs = flow.goldens(x)
    save(name, flow.config, inputs, outputs)


def image_steps(transform, form):
    """`ImagePreset` with repeats 1, 1, 1 and hidden 8, 8, 16."""
    steps = [{"kind": "logit", "alpha": 0.05, "form": form}]
    for _ in range(2):
        steps.append({"kind": "squeeze", "factor": 2})
        for mask in ("even", "odd"):
            steps += [ACT_NORM, CONV1X1, coupling(transform, mask)]
        steps += [CONV1X1, SPLIT]
    steps.append({"kind": "squeeze", "factor": 2})
    for mask in ("even", "odd"):
        steps += [ACT_NORM, coupling(transform, mask, hidden=16, kernel=1)]
    return steps + [CONV1X1]


def vector_steps(transform):
    """`VectorPreset` with two layers and linear maps."""
    turn = []
    for mask in ("even", "odd"):
        turn += [ACT_NORM, CONV1X1, coupling(transform, mask, hidden=16, kernel=1)]
    return turn * 2


def whole_flow(name, flow, draw):
    # Splines half as bent as in the goldens of single couplings: a stack of those is so steep that float32 says little.
    with torch.no_grad():
        for module in flow.transform.modules():
            if hasattr(module, "final_layer"):
                module.final_layer.weight *= 0.5
                module.final_layer.bias *= 0.5
    flow.initialise(draw(64))
    inputs, outputs = flow.goldens(f32(draw(4)))
    # At the first two latents, both in float32: the Jacobian is that of the decoder at `z_decode`.
    outputs |= flow.jacobians(inputs["z_decode"][:2])
    sign_free = torch.linalg.slogdet(outputs["jacobian"])[1]
    close(sign_free, outputs["logabsdet_decode"][:2])
    save(name, flow.config, inputs, outputs)
    eigenvalues = outputs["eigenvalues"]
    print(f"{'':24} eigenvalues of JᵀJ from {eigenvalues.min():.2e} to {eigenvalues.max():.2e}")
    for key in ("jacobian_f32_error", "eigenvalues_f32_error"):
        print(f"{'':24} {key} {outputs[key].max():.1e}")


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    rq_spline(8, 3.0)
    rq_spline(2, 1.0)
    torch.manual_seed(1)
    mixed = torch.randn(5, 5)
    act_norm("act_norm_image", f32(torch.randn(5, 3, 4, 4) * torch.tensor([0.1, 1, 7]).view(1, 3, 1, 1) + 2), [3, 4, 4])
    act_norm("act_norm_vector", f32(torch.randn(16, 5) @ mixed - 1), [5, 1, 1])
    torch.manual_seed(2)
    conv1x1()
    torch.manual_seed(3)
    squeeze(2, [3, 4, 6])
    # Four channels: nflows' inverse refuses a channel count that is no multiple of 4.
    squeeze(7, [4, 7, 14])
    torch.manual_seed(4)
    residual_net("conv_residual_net", ConvResidualNet, f32(torch.randn(2, 3, 5, 6)), 7, kernel=3)
    residual_net("residual_net", ResidualNet, f32(torch.randn(4, 5)), 9, kernel=1)
    for form in ("symmetric", "reference"):
        logit(form)
    torch.manual_seed(5)
    for mask in ("even", "odd"):
        # Standard deviation 2: a good part lies outside [-3, 3].
        one_coupling(f"coupling_rq_{mask}", RQ, mask, f32(2 * torch.randn(3, 4, 6, 6)))
        one_coupling(f"coupling_affine_{mask}", AFFINE, mask, f32(2 * torch.randn(3, 4, 6, 6)))
        # Five channels: the two halves differ in size.
        one_coupling(f"coupling_rq_vector_{mask}", RQ, mask, f32(2 * torch.randn(4, 5)))
    images = lambda n: torch.rand(n, 1, 8, 8) * 0.96 + 0.02
    torch.manual_seed(6)
    whole_flow("flow_image_rq", Flow([1, 8, 8], image_steps(RQ, "symmetric")), images)
    torch.manual_seed(7)
    whole_flow("flow_image_glow", Flow([1, 8, 8], image_steps(AFFINE, "reference")), images)
    torch.manual_seed(8)
    spread = torch.randn(6, 6)
    vectors = lambda n: torch.randn(n, 6) @ spread
    whole_flow("flow_vector_rq", Flow([6, 1, 1], vector_steps(RQ), vector=True), vectors)
    total = sum(path.stat().st_size for path in FOLDER.glob("*.safetensors"))
    print(f"{'all files there':24} {total / 1024:7.1f} KiB")


if __name__ == "__main__":
    main()
