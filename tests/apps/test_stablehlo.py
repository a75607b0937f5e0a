"""An exported program computes what the run computes, without this project."""

import functools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library import rng
from library.apps import stablehlo, stablehlo_page
from library.config import ConfigError
from library.run import session
from library.run.inputs import eval_input
from library.run.recipe import make_plan
from tests import families, often, saved, tiny

# The inputs of each family's program, and the output that it returns.
EXPECTED = {
    "autoencoder": (["image"], "reconstruct"),
    "layerwise": (["image"], "reconstruct"),
    "vae": (["image", "row"], "reconstruct"),
    "gan": (["label", "index", "seed"], "sample"),
    "diffusion": (["index", "seed"], "sample"),
    "simclr": (["image"], "features"),
    "triplet": (["image"], "features"),
    "mae": (["image", "row"], "reconstruct"),
    "unet": (["image"], "prediction"),
    "detector": (["image"], "detections"),
    "restoration": (["image"], "restore"),
    "colourization": (["image"], "restore"),
    "adversarial_restoration": (["image"], "restore"),
    "yolo": (["image"], "detections"),
    "angle": (["image"], "prediction"),
    "keypoints": (["image"], "features"),
    "instances": (["image"], "features"),
    "domains": (["target_image"], "logits"),
    "least_squares": (["image"], "logits"),
    "perceptron": (["image"], "logits"),
    "principal_components": (["image"], "reconstruct"),
    "adaline": (["image"], "logits"),
    "race": (["image"], "logits"),
    "imputation": (["features"], "prediction"),
    "descent": (["row"], "sample"),
    "gpt": (["tokens"], "logits"),
    "lstm": (["tokens"], "logits"),
    "masked_language": (["text", "text_mask", "text_types"], "logits"),
    "given_vectors": (["text"], "features"),
    "translator": (["a", "b", "a_mask"], "logits"),
    "tagging": (["series"], "prediction"),
    "visual_explanation": (["image"], "logits"),
    "piano_roll": (["series", "series_mask"], "logits"),
    "harmonization": (["tokens", "tokens_mask", "beat"], "logits"),
    "speech": (["audio", "audio_mask"], "probabilities"),
    "ctc": (["audio", "audio_mask"], "logits"),
    "echo_state": (["audio", "audio_mask"], "logits"),
    "forecasting": (["series"], "prediction"),
}

# Batches of graphs have no program.
REFUSED = {"nodes", "atoms"}


@pytest.fixture(autouse=True)
def served(monkeypatch):
    families.serve(monkeypatch)


def drawn(program, plan, count):
    """Draws the inputs of a program."""
    random, given = np.random.default_rng(0), {}
    for name, x in program.inputs.items():
        most = {"image": 256, "target_image": 256}.get(name, 4)
        shape = x.shape if name == "seed" else (count, *x.shape)
        given[name] = random.integers(0, most, shape).astype(x.dtype)
    return given


def expected(plan, state, program, given):
    """Returns what the task itself makes of these inputs."""
    state = jax.tree.map(jnp.asarray, state)
    batch = {k: x for k, x in given.items() if k != "seed"}
    count = len(next(iter(batch.values())))
    place = {"index": np.arange(count, dtype=np.uint32), "row": np.arange(count, dtype=np.uint32)}
    batch = {**place, "mask": np.ones(count, np.float32), **batch}
    if "tokens" in batch and batch["tokens"].ndim == 2:
        batch["tokens"] = np.pad(batch["tokens"], ((0, 0), (0, 1)))

    def output(batch):
        key = rng.purpose(rng.root(int(given.get("seed", 0))), "evaluate")
        made = eval_input(plan, batch, {"resident": {}})
        return plan.task.outputs[program.output](state, made, key)

    return jax.jit(output)(batch)


def test_the_table_names_every_family():
    assert set(EXPECTED) | REFUSED == set(families.FAMILIES)


EVERY = often.only(["unet"], EXPECTED)


@pytest.mark.parametrize("family", EVERY)
def test_a_program_computes_what_the_task_computes(family):
    plan = make_plan(families.config(family), devices=jax.devices()[:1])
    state = saved.noise(plan.state).replace(opt_state=(), ema=None)
    program = stablehlo.program(plan, state)
    assert (list(program.inputs), program.output) == EXPECTED[family]
    assert program.batch is None
    assert set(program.exported.platforms) == {"cpu", "cuda", "tpu"}
    # Neither the user's paths nor the place of a call are in the file.
    assert b".py" not in bytes(program.exported.serialize())
    given = drawn(program, plan, 3)
    made = program.exported.call(*given.values())
    wanted = expected(plan, state, program, given)
    assert made.dtype == wanted.dtype
    scale = float(np.max(np.abs(np.asarray(wanted, np.float64))))
    np.testing.assert_allclose(made, wanted, rtol=0, atol=1e-5 * scale)


def counted(usual, state, batch, key):
    return usual(state, batch, key) * jnp.ones((len(batch["image"]), 1))


def alone(usual, state, batch, key):
    if batch["image"].shape[0] != 1 or type(batch["image"]).__name__ == "BatchTracer":
        raise ValueError("one image at a time")
    return usual(state, batch, key)


@pytest.mark.parametrize(("output", "batch"), [(counted, None), (alone, 1)])
def test_a_system_that_needs_the_number_of_examples(output, batch):
    plan = make_plan(tiny.config(), devices=jax.devices()[:1])
    state = saved.noise(plan.state).replace(opt_state=(), ema=None)
    usual = plan.task.outputs["logits"]
    outputs = {"logits": functools.partial(output, usual)}
    program = stablehlo.program(plan._replace(task=plan.task._replace(outputs=outputs)), state)
    assert program.batch == batch
    image = tiny.arrays(3)["image"]
    calls = [image] if batch is None else [image[i : i + 1] for i in range(3)]
    made = np.concatenate([program.exported.call(each) for each in calls])
    wanted = stablehlo.program(plan, state, "logits").exported.call(image)
    np.testing.assert_allclose(made, wanted, rtol=1e-5, atol=1e-5)
    assert f"np.zeros(({batch or 2}, 8, 8, 1), dtype=np.uint8)" in stablehlo_page.example(program)


def test_an_output_that_cannot_be_exported():
    plan = make_plan(families.config("gpt"), devices=jax.devices()[:1])
    with pytest.raises(ConfigError, match=r"reads 'length', which examples do not have: .*tokens"):
        stablehlo.program(plan, plan.state, "generate")
    with pytest.raises(ConfigError, match="has no output 'logit': did you mean 'logits'"):
        stablehlo.program(plan, plan.state, "logit")


def test_platforms_that_do_not_lower_are_left_out(monkeypatch):
    usual = stablehlo._exported

    def only_cpu(function, inputs, batch, platforms):
        if "tpu" in platforms:
            raise NotImplementedError("no rule for tpu")
        return usual(function, inputs, batch, platforms)

    monkeypatch.setattr(stablehlo, "_exported", only_cpu)
    plan = make_plan(tiny.config(), devices=jax.devices()[:1])
    state = saved.noise(plan.state).replace(opt_state=(), ema=None)
    program = stablehlo.program(plan, state)
    assert program.exported.platforms == ("cpu", "cuda")
    assert program.left_out == {"tpu": "NotImplementedError: no rule for tpu"}


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(stablehlo.importlib.util, "find_spec", lambda name: None)
    saved.run(tiny.config(), tmp_path / "run")
    trained = session.restore(tiny.config(), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"needs the package flatbuffers.*: pip install -r req"):
        stablehlo.export_program(trained, tmp_path / "program")
    assert not (tmp_path / "program").exists()


WITHOUT_THE_PROJECT = """
import importlib.util, sys
assert not any(importlib.util.find_spec(name) for name in ("library", "experiments", "configs"))
"""


def test_the_example_of_the_page_runs_without_the_project(tmp_path):
    serializer = pytest.importorskip("flatbuffers")
    values = tiny.config(model=tiny.CONV, ema=dict(decay=0.9))
    saved.run(values, tmp_path / "run")
    trained = session.restore(values, tmp_path / "run")
    folder = stablehlo.export_program(trained, tmp_path / "program")
    text = (folder / "README.md").read_text()
    assert "It holds the running averages of the params" in text
    assert "| `image` | (b, 8, 8, 1) | uint8 |" in text
    assert "It returns (b, 4) float32." in text
    assert 'normalizes them by {"mean": [0.4], "std": [0.25]}' in text
    assert json.loads((folder / "classes.json").read_text()) == list(tiny.CLASSES)
    (code,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len([line for line in code.splitlines() if line]) == 5
    save = 'np.save("made.npy", np.asarray(probabilities))\n'
    sites = {str(Path(package.__file__).parents[1]) for package in (np, serializer)}
    done = subprocess.run(
        # -S leaves out what .pth files add to sys.path, such as a project that is installed.
        [sys.executable, "-S", "-c", WITHOUT_THE_PROJECT + code + save],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sites), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    state = trained.plan.strategy.init(lambda x: x, trained.state)
    given = {"image": np.zeros((2, 8, 8, 1), np.uint8)}
    program = stablehlo.program(trained.plan, state)
    averages = state.replace(
        params=state.ema["params"], variables={**state.variables, **_statistics(state)}
    )
    wanted = expected(trained.plan, averages, program, given)
    np.testing.assert_allclose(np.load(folder / "made.npy"), wanted, atol=1e-6)
    with pytest.raises(ConfigError, match="is not empty"):
        stablehlo.export_program(trained, folder)


def _statistics(state):
    return {name: x for name, x in state.ema.items() if name != "params"}
