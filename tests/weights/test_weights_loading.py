"""Weights out of what trainings wrap them in, under the names of several projects."""

import json

import jax
import numpy as np
import pytest

from library.config import ConfigError
from library.weights import catalogue, deit, densenet, files, loading, vit
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as
from library.weights.published import Published
from library.weights.resampling import Resampling

TINY = dict(name="vit", width=8, depth=2, num_heads=2, patch_size=4, num_classes=3)
KNOWN = {"conv1.weight", "head.bias"}
ARRAYS = {"conv1.weight": np.ones((2, 3)), "head.bias": np.arange(3.0)}


def named(prefix, factor=1.0, arrays=ARRAYS):
    return {f"{prefix}{name}": factor * array for name, array in arrays.items()}


def published(family="vit"):
    if family == "deit":
        return catalogue.find("deit_tiny_distilled_patch16_224")
    found = catalogue.find("vit_tiny_patch16_224")
    return found._replace(model=TINY, transform=found.transform._replace(size=8))


def under(network: Published, rules):
    """Arrays drawn for a network, under a table's names."""
    shapes = network.shapes(network.build())
    return drawn({name: x.shape for name, x in published_as(zeros(shapes), rules).items()})


WRAPPED = {
    "plain": (ARRAYS, []),
    "model": (named("model."), ["'model.' stripped"]),
    "model, compiled, on several devices": (
        named("state_dict.module._orig_mod."),
        ["'state_dict.' stripped", "'module.' stripped", "'_orig_mod.' stripped"],
    ),
    "Lightning": (
        {**named("state_dict.model."), "hyper_parameters.x": np.zeros(1)},
        ["'state_dict.' taken, and hyper_parameters left", "'model.' stripped"],
    ),
    "averages": (
        {**named("model.", 7.0), **named("model_ema.module."), "optimizer.state.0.exp_avg": None},
        ["'model_ema.' taken, and model, optimizer left", "'module.' stripped"],
    ),
}


for _word in ("ema_state_dict", "state_dict_ema", "ema", "ema_model"):
    WRAPPED[_word] = (
        {**named("state_dict.", 7.0), **named(f"{_word}._orig_mod.")},
        [f"'{_word}.' taken, and state_dict left", "'_orig_mod.' stripped"],
    )
WRAPPED["AveragedModel"] = (
    {**named("model.", 7.0), **named("model_ema.module."), "model_ema.n_averaged": np.ones(())},
    ["'model_ema.' taken, and model left", "'module.' taken, and n_averaged left"],
)
WRAPPED["averages by themselves, of which the network has none"] = (
    {**named("state_dict."), "ema.decay": np.ones(())},
    ["'state_dict.' taken, and ema left"],
)


@pytest.mark.parametrize("what", WRAPPED)
def test_what_weights_are_wrapped_in(what):
    arrays, said = WRAPPED[what]
    found, stripped = loading.unwrapped(arrays, KNOWN)
    assert stripped == said
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


def test_averages_may_be_left():
    arrays, _ = WRAPPED["averages"]
    found, stripped = loading.unwrapped(arrays, KNOWN, ema=False)
    assert stripped == ["'model.' taken, and model_ema, optimizer left"]
    np.testing.assert_array_equal(found["conv1.weight"], 7)


@pytest.mark.parametrize(
    "arrays",
    [
        # Known names are not searched for below unknown words, and prefixes are all names'.
        named("teacher."),
        {**named("module."), "queue": np.zeros(2)},
        named("model.", arrays={"other.weight": np.zeros(1)}),
        # Where a known name is seen, the others with it stay as they are.
        {**ARRAYS, **named("model.")},
    ],
)
def test_what_is_not_understood_is_left_as_it_was(arrays):
    found, stripped = loading.unwrapped(arrays, KNOWN)
    assert stripped == []
    assert found == arrays


def test_names_that_begin_with_such_a_word_are_kept():
    arrays = named("module.", arrays=named("model."))
    found, stripped = loading.unwrapped(arrays, {"model.conv1.weight"})
    assert stripped == ["'module.' stripped"]
    assert found.keys() == named("model.").keys()


@pytest.mark.parametrize(
    ("family", "rules"),
    [
        ("vit", vit.TIMM_RULES),
        ("vit", vit.HUGGING_FACE_RULES),
        ("deit", deit.RULES),
        ("deit", deit.HUGGING_FACE_RULES),
    ],
)
def test_a_folder_of_hugging_face_in_parts(family, rules, tmp_path):
    network = published(family=family)
    arrays = under(network, rules)
    expected = assign(arrays, rules, network.shapes(network.build()), where="")
    pooler = {f"{family}.pooler.dense.weight": np.zeros((8, 8), np.float32)}
    names = sorted({**arrays, **pooler})
    parts = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for part, held in parts.items():
        files.write(tmp_path / part, {name: {**arrays, **pooler}[name] for name in held})
    index = {"weight_map": {name: part for part, held in parts.items() for name in held}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    said = []
    found = loading.load(network, network.build(), tmp_path, say=said.append)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert said == []


def test_names_of_deit_in_transformers():
    arrays = under(published(family="deit"), deit.HUGGING_FACE_RULES)
    assert {
        "deit.embeddings.cls_token",
        "deit.embeddings.distillation_token",
        "deit.embeddings.position_embeddings",
        "deit.encoder.layer.1.attention.attention.value.bias",
        "deit.encoder.layer.0.layernorm_before.weight",
        "deit.layernorm.bias",
        "cls_classifier.weight",
        "distillation_classifier.bias",
    } <= arrays.keys()
    # Queries, keys and values are three layers here, and one in timm: four arrays more a block.
    assert len(arrays) == len(under(published(family="deit"), deit.RULES)) + 12 * 4


def test_older_files_of_torchvision_have_their_own_table():
    for name, module in {"vit_b_16": vit, "densenet121": densenet}.items():
        assert catalogue.find(name).others == (module.TORCHVISION_FILE_RULES,)


def test_a_training_is_read_and_said(tmp_path):
    network = published()
    arrays = under(network, vit.TIMM_RULES)
    path = files.write(tmp_path / "last.safetensors", named("model_ema.", arrays=arrays))
    said = []
    found = loading.load(network, network.build(), path, say=said.append)
    assert said == [f"weights '{path}': 'model_ema.' stripped"]
    expected = assign(arrays, network.rules, network.shapes(network.build()), where="")
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_positions_for_images_of_another_size_are_resampled_and_said(tmp_path):
    network = published()
    arrays = under(network, vit.TIMM_RULES)
    # A class token and 2 x 2 patches of 4 pixels here, and 3 x 3 there.
    arrays["pos_embed"] = np.arange(80, dtype=np.float32).reshape(1, 10, 8)
    path, said = files.write(tmp_path / "x.safetensors", arrays), []
    found = loading.load(network, network.build(), path, say=said.append)
    assert said == [
        f"weights '{path}': pos_embed resampled from a grid of 3x3 to 2x2, 1 before it kept"
    ]
    embedding = found["params"]["positions"]["embedding"]
    how = Resampling(1, (3, 3), (2, 2), True)
    np.testing.assert_array_equal(embedding, how.apply(arrays["pos_embed"]))
    np.testing.assert_array_equal(embedding[:, 0], arrays["pos_embed"][:, 0])
    arrays["pos_embed"] = np.zeros((1, 9, 8), np.float32)
    path = files.write(tmp_path / "x.safetensors", arrays)
    with pytest.raises(ConfigError, match=r"pos_embed \(1, 9, 8\) .*: 8 patches are not a square"):
        loading.load(network, network.build(), path)


def test_biases_of_another_window_are_resampled_and_said(tmp_path):
    network = catalogue.find("swin_t")
    network = network._replace(
        model=dict(name="swin", width=32, depths=(1, 1, 1, 1), window=2, num_classes=3),
        transform=network.transform._replace(size=32),
    )
    arrays = under(network, network.rules)
    names = [name for name in arrays if name.endswith("relative_position_bias_table")]
    assert len(names) == 4
    for name in names:
        heads = arrays[name].shape[1]
        arrays[name] = np.arange(25 * heads, dtype=np.float32).reshape(25, heads)
    path, said = files.write(tmp_path / "x.safetensors", arrays), []
    found = loading.load(network, network.build(), path, say=said.append)
    assert said == [f"weights '{path}': {names[0]} and 3 more resampled from a grid of 5x5 to 3x3"]
    bias = found["params"]["stage1_block1"]["attention"]["relative_bias"]
    # The middle stays where it was.
    np.testing.assert_allclose(bias[4], arrays[names[0]][12])


def test_what_is_doubtful_of_arrays_is_said_or_refused(tmp_path):
    network, said = published(), []
    arrays = under(network, vit.TIMM_RULES)
    arrays["cls_token"] = arrays["cls_token"].astype(np.float16)
    arrays["norm.bias"] = np.full(8, 1e300)
    arrays["head.bias"] = np.float32([1, np.nan, 3])
    path = files.write(tmp_path / "x.safetensors", arrays)
    loading.load(network, network.build(), path, say=said.append)
    assert [line.removeprefix(f"weights '{path}': ") for line in said] == [
        "cls_token of float16 made float32",
        "norm.bias of float64 made float32",
        "params/head/bias and 1 more not finite",
    ]
    arrays["head.bias"] = np.int64([1, 2, 3])
    path = files.write(tmp_path / "x.safetensors", arrays)
    with pytest.raises(ConfigError, match=r"head.bias int64 for params/head/bias float32 of anoth"):
        loading.load(network, network.build(), path)


def test_names_of_transformers_that_are_not_read(tmp_path):
    arrays = {
        "resnet.embedder.embedder.convolution.weight": np.zeros((2, 3, 7, 7)),
        "classifier.1.bias": np.zeros(3),
    }
    path = files.write(tmp_path / "model.safetensors", arrays)
    network = catalogue.find("resnet18")
    with pytest.raises(ConfigError) as caught:
        loading.load(network, network.build(), path)
    message = str(caught.value)
    assert "'resnet.embedder.embedder.convolution.weight'" in message
    assert "for this network are those of torchvision's resnet18" in message
    assert len(message.splitlines()) == 1
