"""A hundred steps of each rule that PyTorch has, beside torch.optim; and the schedules beside its own.

Called with the path of optim_steps. Exit code 77 (skipped) where no Python of this machine has PyTorch:
TRAINYARD_TORCH_PYTHON, then build/venv, then the one that runs this.
"""

import array
import os
import pathlib
import random
import subprocess
import sys
import tempfile

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "support"))
import with_torch  # noqa: E402

WEIGHTS, BIASES, STEPS = 900, 100, 100
JOB = "name: steps\ndata: {{source: {{path: x}}}}\nmodel: {{layers: [relu]}}\ntrain:\n  epochs: 10\n{}"

# A job's train section, and the same in PyTorch.
RULES = [
    ("optimizer: {kind: sgd, learning_rate: 0.05}", lambda t, p: t.optim.SGD(p, lr=0.05), {}),
    ("optimizer: {kind: sgd, learning_rate: 0.05, momentum: 0.9, weight_decay: 0.01}",
     lambda t, p: t.optim.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01), {}),
    ("optimizer: {kind: sgd, learning_rate: 0.05, momentum: 0.9, nesterov: true, weight_decay: 0.01}",
     lambda t, p: t.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.01), {}),
    ("optimizer: {kind: adam}", lambda t, p: t.optim.Adam(p), {}),
    ("optimizer: {kind: adam, betas: [0.8, 0.95], epsilon: 1e-6, weight_decay: 0.01}",
     lambda t, p: t.optim.Adam(p, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01), {}),
    ("optimizer: {kind: adamw}", lambda t, p: t.optim.AdamW(p), {}),
    ("optimizer: {kind: adagrad, weight_decay: 0.01}", lambda t, p: t.optim.Adagrad(p, weight_decay=0.01), {}),
    ("optimizer: {kind: adagrad, initial_accumulator: 0.1}",
     lambda t, p: t.optim.Adagrad(p, initial_accumulator_value=0.1), {}),
    ("optimizer: {kind: rmsprop}", lambda t, p: t.optim.RMSprop(p), {}),
    ("optimizer: {kind: rmsprop, rho: 0.9, momentum: 0.9, centered: true, weight_decay: 0.01, learning_rate: 0.001}",
     lambda t, p: t.optim.RMSprop(p, lr=0.001, alpha=0.9, momentum=0.9, centered=True, weight_decay=0.01), {}),
    ("optimizer: {kind: sgd, learning_rate: 0.05}\n  clip: {norm: 1.5}",
     lambda t, p: t.optim.SGD(p, lr=0.05), {"norm": 1.5}),
    ("optimizer: {kind: adam}\n  clip: {value: 0.5}", lambda t, p: t.optim.Adam(p), {"value": 0.5}),
    ("optimizer: {kind: adamw}\n  ema: {decay: 0.9}", lambda t, p: t.optim.AdamW(p), {"ema": 0.9}),
]


def ours(program, folder, section, values, gradients):
    job, first, grads, out = (os.path.join(folder, name) for name in ("job.yaml", "values", "gradients", "out"))
    pathlib.Path(job).write_text(JOB.format("  " + section + "\n"))
    pathlib.Path(first).write_bytes(array.array("f", values).tobytes())
    pathlib.Path(grads).write_bytes(array.array("f", gradients).tobytes())
    done = subprocess.run([program, job, first, grads, out], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(done.stderr)
    result = array.array("f")
    result.frombytes(pathlib.Path(out).read_bytes())
    return [float(line) for line in done.stdout.split()], result


def theirs(torch, make, extra, values, gradients):
    weight = torch.nn.Parameter(torch.tensor(values[:WEIGHTS], dtype=torch.float64))
    bias = torch.nn.Parameter(torch.tensor(values[WEIGHTS:], dtype=torch.float64))
    model = torch.nn.ParameterList([weight, bias])
    optimizer = make(torch, [{"params": [weight]}, {"params": [bias], "weight_decay": 0.0}])
    average = None
    if "ema" in extra:
        average = torch.optim.swa_utils.AveragedModel(
            model, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(extra["ema"]))
    for step in range(STEPS):
        part = gradients[step * len(values):(step + 1) * len(values)]
        weight.grad = torch.tensor(part[:WEIGHTS], dtype=torch.float64)
        bias.grad = torch.tensor(part[WEIGHTS:], dtype=torch.float64)
        if "norm" in extra:
            torch.nn.utils.clip_grad_norm_([weight, bias], extra["norm"])
        if "value" in extra:
            torch.nn.utils.clip_grad_value_([weight, bias], extra["value"])
        optimizer.step()
        if average:
            average.update_parameters(model)
    out = weight.tolist() + bias.tolist()
    if average:
        for parameter in average.module:
            out += parameter.tolist()
    return out


def schedules(torch):
    """Section, scheduler, its steps an epoch or 0 for every step, and how many of its steps lie behind the update."""
    from torch.optim import lr_scheduler as s
    return [
        ("schedule: {kind: cosine, min_rate: 0.01}", lambda o: s.CosineAnnealingLR(o, STEPS, eta_min=0.01), 1),
        ("schedule: {kind: polynomial, power: 2}", lambda o: s.PolynomialLR(o, STEPS, power=2.0), 1),
        ("schedule: {kind: one_cycle}", lambda o: s.OneCycleLR(o, max_lr=0.5, total_steps=STEPS), 0),
        ("schedule: {kind: one_cycle, rise: 0.2, start_divisor: 10, end_divisor: 100}",
         lambda o: s.OneCycleLR(o, max_lr=0.5, total_steps=STEPS, pct_start=0.2, div_factor=10, final_div_factor=100),
         0),
        # Ten steps an epoch.
        ("schedule: {kind: step, milestones: [2, 5], factor: 0.3}", lambda o: s.MultiStepLR(o, [20, 50], gamma=0.3), 0),
        ("schedule: {kind: step, step_epochs: 3, factor: 0.3}", lambda o: s.StepLR(o, 30, gamma=0.3), 0),
    ]


def check(program):
    import torch
    source = random.Random(7)
    single = array.array("f", [source.gauss(0, 1) for _ in range(WEIGHTS + BIASES)]).tolist()
    gradients = array.array("f", [source.gauss(0.05, 1) for _ in range(STEPS * len(single))]).tolist()
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for section, make, extra in RULES:
            _, got = ours(program, folder, section, single, gradients)
            wanted = theirs(torch, make, extra, single, gradients)
            worst = max(abs(a - b) for a, b in zip(got, wanted, strict=True))
            print(f"{section.replace(chr(10), ';')}: differs by {worst:.1e}")
            failed = failed or not worst < 1e-5
        for section, make, behind in schedules(torch):
            rates, _ = ours(program, folder, "optimizer: {learning_rate: 0.5}\n  " + section, single, gradients)
            optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
            scheduler = make(optimizer)
            wanted = []
            for _ in range(STEPS + 1):
                wanted.append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                if len(wanted) <= STEPS - (1 - behind):
                    scheduler.step()
            worst = max(abs(a - b) for a, b in zip(rates, wanted[behind:]))
            print(f"{section}: differs by {worst:.1e}")
            failed = failed or not worst < 1e-9
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    with_torch.main(check)
