"""Every recipe is built and shape-checked, and claims only what it measures."""

import dataclasses
import functools
import importlib.util
import json
import pickle
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from ml_collections import ConfigDict

from experiments import command_line
from library.config import duration, plain, read
from library.data import sources, text
from library.data.preprocessing import tokenizing
from library.evaluation import bleu
from library.optim import optimizers
from library.run import recipe, restoring, sections
from library.weights import inception_v3
from tests import often, stand_ins

ROOT = Path(__file__).parents[1]
FILES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs").rglob("*.py"))
PARAMETERS = {
    "configs/lenet5/mnist.py:rbf": 60_000,
    "configs/resnet/cifar10.py:resnet20": 269_722,
    "configs/resnet/cifar10.py:resnet110": 1_727_962,
    "configs/wide_resnet/cifar10.py:wrn28_10": 36_479_194,
    "configs/airbench/airbench94.py:cifar10": 1_971_640,
    "configs/airbench/airbench96.py:cifar10": 9_915_704,
    "configs/vgg/cifar10.py:vgg16_bn": 14_728_266,
    "configs/gpt/gpt2.py": 124_337_664,
    "configs/tcn/adding.py:t600": 96_001,
    "configs/tcn/mnist.py:sequential": 66_910,
    "configs/mobilenet_v2/cifar10.py:x1_0": 2_236_682,
    "configs/mobilenet_v2/cifar10.py:projected": 2_296_922,
    "configs/densenet/cifar10.py:densenet_bc100": 769_162,
    "configs/densenet/cifar10.py:densenet_bc250": 15_324_406,
    "configs/shake_shake/cifar10.py:d96": 26_192_922,
    "configs/shake_shake/cifar100.py:even": 34_529_700,
    "configs/shufflenet_v2/cifar100.py:x1_0": 1_356_104,
    "configs/wide_resnet/cifar100.py:wrn28_10": 36_536_884,
    "configs/vit/cifar10.py:vit_cifar": 6_268_810,
    # 11 labels in place of 62: 51 rows of 201 weights fewer than the paper's 114,662.
    "configs/blstm_ctc/fsdd_strings.py": 114_662 - 51 * 201,
    "configs/unet/isbi2012_membrane.py:paper": 31_030_658,
    "configs/enet/camvid240.py": 363_791,
    "configs/autoencoder/mnist.py:deep": 2_837_314,
    "configs/vae/mnist.py:cpu": 425_284,
    "configs/compression/mnist.py:dense": 266_610,
    "configs/compression/mnist.py:low_rank": 48_898,
    "configs/ddpm/cifar10.py:ddpm": 35_746_307,
    "configs/resnet/imagenet_resnet50.py:torchvision": 25_557_032,
    "configs/resnet/imagenet_resnet50.py:flax": 25_557_032,
    # ViT-S/16's 22,050,664 without a class token and 197 learned positions.
    "configs/vit/imagenet_s16.py:90ep": 22_050_664 - 198 * 384,
}


def load(file):
    spec = importlib.util.spec_from_file_location("config", ROOT / file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def variants(file):
    return list(getattr(load(file), "VARIANTS", [""]))


RECIPES = [f"{file}:{variant}".rstrip(":") for file in FILES for variant in variants(file)]
# A network, or one like it, is counted by the tests of the catalogue too.
COUNTED_OFTEN = {
    *("configs/lenet5/mnist.py:rbf", "configs/resnet/cifar10.py:resnet20"),
    *("configs/airbench/airbench94.py:cifar10", "configs/autoencoder/mnist.py:deep"),
    *("configs/compression/mnist.py:dense", "configs/compression/mnist.py:low_rank"),
}


def quickest(file):
    """Returns the variant of a file that every commit traces."""
    names = [name for name in RECIPES if name.partition(":")[0] == file]
    small = [name for word in ("smoke", "cpu") for name in names if name.endswith(word)]
    return (small + names)[0]


# Recipes of classifiers of images are put together alike; their networks have tests of their own.
CLASSIFIERS = re.compile(r"/(imagenet|cifar10|cifar100)\w*\.py$")
TRACED_CLASSIFIERS = {
    *("configs/resnet/imagenet.py", "configs/resnet/cifar10.py", "configs/vit/imagenet.py"),
    *("configs/mae/cifar10.py", "configs/simclr/cifar10.py"),
}
# Another file has the same network, for smaller images.
ALIKE = [f"configs/{system}/camvid.py" for system in ("deconvnet", "enet", "fcn", "segnet")]
ALIKE += ["configs/yolo_v1/voc.py", "configs/yolo_v8/coco.py"]
# Another file differs in its network alone, which has tests of its own.
ALIKE += ["configs/srcnn/sr_photos.py", "configs/vdsr/sr_photos.py"]
ALIKE += ["configs/deconvnet/camvid240.py", "configs/enet/camvid240.py", "configs/fcn/camvid240.py"]
ALIKE += ["configs/luong/multi30k.py", "configs/sutskever/multi30k.py"]
ALIKE += ["configs/rnn/ett.py", *(f"configs/tcn/{x}.py" for x in ("adding", "ett", "mnist"))]
ALIKE += [f"configs/{system}/planetoid.py" for system in ("gat", "graphsage")]
ALIKE += ["configs/attribute_masking/molecules.py", "configs/mpnn/molecules.py"]
ALIKE += ["configs/mpnn/qm9.py"]
ALIKE += ["configs/graph_autoencoder/planetoid.py", "configs/graph_vae/qm9.py"]
ALIKE += [file for file in FILES if CLASSIFIERS.search(file) and file not in TRACED_CLASSIFIERS]
QUICK = {quickest(file) for file in FILES if file not in ALIKE}
TRACED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in RECIPES]
COUNTED = often.only(COUNTED_OFTEN, PARAMETERS)
_open_source, _make_tokenizer = sources.open_source, text.make_tokenizer
# The first data set of those that are stated alike; their recipes share a plan.
_alike = {}


def stand_in(name, split, *, data_dir=None, manual_dir=None, classes=None, columns=None):
    """Opens what has the shapes and sizes of a data set, prepared or not."""
    if name == "none" or name.startswith(("synthetic/", "points/")):
        return _open_source(name, split)
    return stand_ins.open_source(name, split, columns)


def judge(make_plan, folder, output):
    """Has the outputs of a classifier of the data its workdir is named for, by default digits."""
    classes = {"smoke": 10, "tinyimagenet20": 20, "imagenet": 1_000, "cifar100": 100}
    known = [count for name, count in classes.items() if name in folder]
    return lambda image: jnp.zeros((len(image), *(known or [10])[:1]))


def teacher(make_plan, folder, output):
    """Has learnt nothing, and the outputs of the judge; one to be compressed has zeros."""
    learnt = {}
    if "compression" in folder:
        shapes = plan_of("configs/compression/mnist.py:dense").state
        state = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
        learnt = {"params": state.params, "variables": state.variables}
    return learnt, lambda learnt, image: judge(make_plan, folder, output)(image)


def tokenizer(spec, documents, fitted=None):
    """Has as many tokens as the spec says, and uses those of the text's characters; or words."""
    if spec["name"] == "word":
        return _make_tokenizer(spec, documents)
    made = _make_tokenizer({"name": "character", "unknown": "\ufffd"}, documents)
    size = 50_257 if spec["name"] == "gpt2" else spec.get("vocab_size", made.vocab_size)
    rest = size - made.vocab_size
    return made._replace(names=made.names + ("-",) * rest)


def shared_tokenizer(operation, texts, fitted):
    """Has as many tokens as the spec says, and uses those of bytes."""
    made = _make_tokenizer({"name": "byte"}, None)
    if dict(operation.spec) == {"name": "word"}:
        # Evaluators ask for words by their names.
        made = made._replace(names=made.names + words())
    return made._replace(names=made.names + ("-",) * (operation.spec.get("vocab_size", 256) - 256))


@functools.cache
def words():
    """Returns the words that recipes name."""
    glove = load("configs/glove/glove50.py")
    named = (glove.ON_THE_MAP, glove.ASKED, *glove.RELATIONS.values())
    return tuple(dict.fromkeys(" ".join(named).replace(",", "").split()))


def weights(file, model):
    """Has the shapes of published weights."""
    image = jax.ShapeDtypeStruct((1, 75, 75, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    monkeypatch.setattr(text, "make_tokenizer", tokenizer)
    monkeypatch.setattr(tokenizing.Tokenizing, "fit", lambda operation, examples: {})
    monkeypatch.setattr(tokenizing.Tokenizing, "_built", shared_tokenizer)
    monkeypatch.setattr(bleu, "_sacrebleu", lambda: None)
    monkeypatch.setattr(inception_v3, "load", weights)
    monkeypatch.setattr(sources, "open_source", stand_in)
    monkeypatch.setattr(restoring, "judge", judge)
    monkeypatch.setattr(restoring, "teacher", teacher)


def plan_of(name):
    """Makes the plan of a recipe, or of one before it that differs in what no shape depends on."""
    values, _, _ = command_line.load_config(name)
    total, claim = values.pop("total"), values.pop("reported", None)
    name = values["dataset"].get("name")
    if name is not None and stand_ins.is_known(name):
        values["dataset"]["name"] = _alike.setdefault(pickle.dumps(stand_ins.stated(name)), name)
    length = "100 steps" if name == "none" else "100 epochs"
    plan = _plan(json.dumps({**values, "total": length}))
    return plan._replace(recipe=dataclasses.replace(plan.recipe, total=total, reported=claim))


@functools.cache
def _plan(values):
    # One device, so that a batch is as large as a config may say it is on any number of them.
    return recipe.make_plan(json.loads(values), devices=jax.devices()[:1])


@pytest.mark.parametrize("file", FILES)
def test_docstrings_say_what_a_recipe_is_and_their_commands_name_it(file):
    docstring = load(file).__doc__
    for section in ("Command:", "Hardware:", "Expected:", "Source:"):
        assert re.search(rf"^{section} +\S", docstring, re.MULTILINE), section
    commands = re.findall(r"--config=(\S+)", docstring)
    for command in commands:
        command_line.load_config(command)
    named = {command.partition(":")[0] for command in commands}
    assert file in (*named, command_line.DEFAULT_CONFIG)
    for name in re.findall(r"--dataset=([\w/]*\w)", docstring):
        assert stand_ins.is_known(name)


@pytest.mark.parametrize("name", RECIPES)
def test_values_are_plain_and_the_default_is_the_first_variant(name):
    file, _, variant = name.partition(":")
    module = load(file)
    config = module.get_config(variant) if variant else module.get_config()
    assert isinstance(config, ConfigDict)
    pending = [plain(config)]
    while pending:
        value = pending.pop()
        if isinstance(value, (dict, list)):
            pending += value.values() if isinstance(value, dict) else value
        else:
            assert value is None or type(value) in (str, int, float, bool), value
    if variant == variants(file)[0]:
        assert module.get_config().to_dict() == config.to_dict()
    for loaded in (command_line.load_config(name)[0], plain(module.get_config(variant))):
        assert loaded == plain(config)


def other_runs(values, key=""):
    """Yields the workdirs of the runs that a config starts from, learns from or is judged by."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from other_runs(value, name)
    elif key in ("workdir", "teacher", "classifier") and values is not None:
        yield values


@functools.cache
def default_workdirs():
    return {f"runs/{command_line.request(name).name}" for name in RECIPES}


@pytest.mark.parametrize("name", RECIPES)
def test_runs_that_a_recipe_needs_are_where_its_commands_or_others_leave_them(name):
    values, path, _ = command_line.load_config(name)
    told = re.findall(r"--workdir=([\w/.-]*\w)", load(path).__doc__)
    for workdir in other_runs(values):
        assert workdir in told or workdir in default_workdirs()


@pytest.mark.parametrize(
    "name",
    often.but(
        ["configs/gpt/tinyshakespeare.py:full", "configs/gpt/text.py:small"],
        [
            *("configs/gpt/tinyshakespeare.py:nanogpt_cpu", "configs/gpt/tinyshakespeare.py:full"),
            *("configs/gpt/text.py:gpt2", "configs/gpt/text.py:small", "configs/gpt/gpt2.py"),
        ],
    ),
)
def test_nanogpt_decays_all_matrices_and_embeddings(name):
    plan = plan_of(name)
    patterns = plan.recipe.optimizer["decayed"]
    for path, leaf in flatten_dict(plan.state.params, sep="/").items():
        # In a loop over the blocks their params are stacked.
        decays = leaf.ndim - path.startswith("blocks/") >= 2
        assert any(re.search(pattern, path) for pattern in patterns) == decays, path


def test_one_recipe_has_all_that_large_language_models_are_made_of():
    plan = plan_of("configs/gpt/wikitext2.py:cpu")
    assert set(plan.loader.blank) >= {"tokens", "segments"}
    (key,) = (x for x in jax.tree.leaves_with_path(plan.state.params) if "'key'" in str(x[0]))
    # Layers in a loop, and two heads of keys for four of queries.
    assert key[1].shape == (4, 128, 2, 32)
    recipe = plan.recipe
    assert recipe.dataset["tokenizer"] == {"name": "bpe", "vocab_size": 2048}
    assert recipe.task["chunk"] < 2048
    assert recipe.model["remat"] != "none"


@pytest.mark.parametrize("name", TRACED)
def test_recipes_fit_together_and_claim_what_they_measure(name):
    plan = plan_of(name)
    assert plan.steps(plan.recipe.total) >= 1
    names = plan.measured
    best = plan.recipe.checkpoint.get("best")
    assert best is None or best in names
    if plan.recipe.reported is not None:
        claim = read(sections.Reported, plan.recipe.reported, "reported")
        assert claim.metric in names
        assert 0 < claim.value < 1 or not claim.metric.endswith("accuracy")


@pytest.mark.parametrize("name", COUNTED)
def test_models_have_the_published_number_of_parameters(name):
    leaves = jax.tree.leaves(plan_of(name).state.params)
    assert sum(leaf.size for leaf in leaves) == PARAMETERS[name]


def rate_of(name, num_examples):
    """Returns a recipe's learning rate by step, and its number of steps."""
    values, _, _ = command_line.load_config(name)
    sizes = dict(batch_size=values["dataset"]["batch_size"], num_examples=num_examples)
    total = duration(values["total"], **sizes)
    _, schedule = optimizers.make_optimizer(
        values["optimizer"],
        total_steps=total,
        steps=functools.partial(duration, **sizes, total=total),
        batch_size=sizes["batch_size"],
    )
    return jax.vmap(schedule), total


def test_the_mixers_rate_falls_to_a_hundred_thousandth_of_its_peak():
    rate, total = rate_of("configs/mlp_mixer/imagenet.py:b16", 1_268_355)
    at = np.asarray([5_000, 10_000, (10_000 + total) / 2, total])
    np.testing.assert_allclose(rate(at), [5e-4, 1e-3, 5e-4 * (1 + 1e-5), 1e-8], 1e-5, 1e-10)


@pytest.mark.parametrize(("variant", "peak", "warmup"), [("b0", 0.128, 5), ("b0_timm", 0.048, 3)])
def test_efficientnets_rate_decays_from_the_first_step(variant, peak, warmup):
    rate, _ = rate_of(f"configs/efficientnet/imagenet.py:{variant}", 1_281_167)
    batch = 2048 if variant == "b0" else 768
    ends = np.ceil(warmup * 1_281_167 / batch)
    later = np.ceil(12.1 * 1_281_167 / batch)
    at = np.asarray([0, ends, later])
    start = 0 if variant == "b0" else 1e-6
    expected = [start, peak * 0.97 ** (warmup // 2.4), peak * 0.97**5]
    np.testing.assert_allclose(rate(at), expected, 1e-5, 2e-9)


def test_big_transfer_warms_up_before_it_is_fine_tuned():
    """The supports in its authors' program are the steps 500, 6000, 12000, 18000 and 20000."""
    rate, total = rate_of("configs/big_transfer/imagenet.py:finetune", 1_281_167)
    assert total == 20_000
    at = np.asarray([0, 250, 500, 5_999, 6_001, 12_001, 18_001])
    factors = [0, 0.5, 1, 1, 0.1, 0.01, 0.001]
    np.testing.assert_allclose(rate(at), 0.003 * np.asarray(factors), 1e-6, 1e-10)


def airbench_by_hand(params, gradient, total):
    """Trains a leaf at a time as the hyperparameters of the paper's code define it."""
    stretch = 1024 * (1 + 1 / (1 - 0.85))
    rate, decay = 11.5 / stretch, 0.0153 * 1024 / stretch
    trained = {}
    for name, start in params.items():
        fast, slow, buffer = np.float64(start), np.float64(start), 0.0
        own_rate = rate * (64 if "norm" in name else 1)
        for step in range(total):
            at = step / 109 if step < 109 else (step - 109) / (total - 109)
            shape = 0.2 + 0.8 * at if step < 109 else 1 - 0.93 * at
            still = name == "whitening/kernel" or (name == "whitening/bias" and step >= 3 * 48)
            if not still:
                summed = 1024 * gradient(fast) + decay / own_rate * fast
                buffer = 0.85 * buffer + summed
                fast = fast - shape * own_rate * (summed + 0.85 * buffer)
            if (step + 1) % 5 == 0:
                kept = 0.95**5 * ((step + 1) / total) ** 3
                slow = fast = kept * slow + (1 - kept) * fast
        trained[name] = slow
    return trained


def test_airbench94_moves_params_as_its_decoupled_hyperparameters_do():
    plan = plan_of("configs/airbench/airbench94.py:cifar10")
    total = plan.steps(plan.recipe.total)
    names = ("whitening/kernel", "whitening/bias", "stage1_norm1/bias", "head/kernel")
    draw = np.random.default_rng(0)
    start = {name: draw.normal(size=5).astype(np.float32) for name in names}
    tx, _ = optimizers.make_optimizer(
        plan.recipe.optimizer,
        total_steps=total,
        steps=functools.partial(duration, batch_size=1024, num_examples=50_000, total=total),
        batch_size=1024,
    )

    def gradient(p):
        return 5e-4 * (p - 1)

    def step(_, carry):
        params, state = carry
        updates, state = tx.update(jax.tree.map(gradient, params), state, params)
        return jax.tree.map(lambda p, u: p + u, params, updates), state

    trained, _ = jax.lax.fori_loop(0, total, step, (start, tx.init(start)))
    expected = airbench_by_hand(start, gradient, total)
    for name in names:
        np.testing.assert_allclose(trained[name], expected[name], 2e-5, 1e-6, err_msg=name)
