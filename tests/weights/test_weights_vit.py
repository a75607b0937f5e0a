"""Vision Transformers under the names of four projects."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image.mae import mae
from library.models.image.vit import vit
from library.weights import vit as tables
from library.weights.drawn import drawn, zeros
from library.weights.mapping import assign, published_as

TINY = dict(width=8, depth=2, num_heads=2, patch_size=4)
TABLES = {
    "timm": tables.TIMM_RULES,
    "torchvision": tables.TORCHVISION_RULES,
    "torchvision's files": tables.TORCHVISION_FILE_RULES,
    "hugging face": tables.HUGGING_FACE_RULES,
}


@pytest.fixture(scope="module")
def shapes():
    model = vit(num_classes=3, **TINY)
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 8, 12, 3)))


def published(shapes, rules):
    return drawn({name: x.shape for name, x in published_as(zeros(shapes), rules).items()})


@pytest.mark.parametrize("project", TABLES)
def test_what_was_read_is_written_as_it_was(shapes, project):
    arrays = published(shapes, TABLES[project])
    variables = assign(arrays, TABLES[project], shapes, where=project)
    again = published_as(variables, TABLES[project])
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array, err_msg=name)


@pytest.mark.parametrize(
    ("project", "names"),
    [
        (
            "torchvision",
            """class_token encoder.pos_embedding conv_proj.weight conv_proj.bias
            encoder.layers.encoder_layer_1.ln_1.weight encoder.layers.encoder_layer_1.ln_2.bias
            encoder.layers.encoder_layer_1.self_attention.in_proj_weight
            encoder.layers.encoder_layer_1.self_attention.in_proj_bias
            encoder.layers.encoder_layer_1.self_attention.out_proj.weight
            encoder.layers.encoder_layer_1.mlp.0.weight encoder.layers.encoder_layer_1.mlp.3.bias
            encoder.ln.weight heads.head.weight""",
        ),
        (
            "torchvision's files",
            """encoder.layers.encoder_layer_0.mlp.linear_1.weight
            encoder.layers.encoder_layer_0.mlp.linear_2.bias""",
        ),
        (
            "hugging face",
            """vit.embeddings.cls_token vit.embeddings.position_embeddings
            vit.embeddings.patch_embeddings.projection.weight
            vit.encoder.layer.0.attention.attention.query.weight
            vit.encoder.layer.0.attention.attention.key.bias
            vit.encoder.layer.1.attention.attention.value.weight
            vit.encoder.layer.1.attention.output.dense.weight
            vit.encoder.layer.1.intermediate.dense.weight vit.encoder.layer.1.output.dense.bias
            vit.encoder.layer.1.layernorm_before.weight vit.encoder.layer.1.layernorm_after.bias
            vit.layernorm.weight classifier.weight""",
        ),
    ],
)
def test_names(shapes, project, names):
    assert set(names.split()) <= published_as(zeros(shapes), TABLES[project]).keys()


def test_queries_keys_and_values_are_thirds_of_one_layer(shapes):
    arrays = published(shapes, tables.TIMM_RULES)
    variables = assign(arrays, tables.TIMM_RULES, shapes, where="timm")
    attention = variables["params"]["block2"]["attention"]
    weight, bias = (arrays[f"blocks.1.attn.qkv.{kind}"] for kind in ("weight", "bias"))
    assert weight.shape == (24, 8)
    for i, name in enumerate(("query", "key", "value")):
        # Feature 3 of head 1 is the eighth of its third.
        assert attention[name]["kernel"][5, 1, 3] == weight[8 * i + 7, 5]
        assert attention[name]["bias"][1, 3] == bias[8 * i + 7]
    assert attention["out"]["kernel"][1, 3, 6] == arrays["blocks.1.attn.proj.weight"][6, 7]


def test_hugging_faces_parts_make_the_same_model(shapes):
    arrays = published(shapes, tables.TIMM_RULES)
    expected = assign(arrays, tables.TIMM_RULES, shapes, where="timm")
    theirs = published_as(expected, tables.HUGGING_FACE_RULES)
    parts = [
        theirs[f"vit.encoder.layer.0.attention.attention.{name}.weight"]
        for name in ("query", "key", "value")
    ]
    np.testing.assert_array_equal(np.concatenate(parts), arrays["blocks.0.attn.qkv.weight"])
    found = assign(theirs, tables.HUGGING_FACE_RULES, shapes, where="hugging face")
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_masked_autoencoders_fill_the_encoder():
    model = mae(**TINY, decoder_width=8, decoder_depth=1, decoder_heads=2, positions="learned")
    image, order = jnp.zeros((1, 8, 12, 3)), jnp.arange(6)[None]
    variables = jax.eval_shape(lambda key: model.init(key, image, order, 2), jax.random.key(0))
    encoder = {"params": variables["params"]["encoder"]}
    arrays = published(encoder, tables.TIMM_RULES)
    decoder = {
        "mask_token": np.zeros((1, 1, 8)),
        "decoder_pos_embed": np.zeros((1, 7, 8)),
        "decoder_embed.weight": np.zeros((8, 8)),
        "decoder_blocks.0.attn.qkv.weight": np.zeros((24, 8)),
        "decoder_pred.bias": np.zeros(48),
    }
    everything = {**arrays, **decoder}
    ignored = tables.MAE_IGNORED
    found = assign(everything, tables.TIMM_RULES, encoder, ignored=ignored, where="mae")
    again = published_as(found, tables.TIMM_RULES)
    assert {"cls_token", "pos_embed", "blocks.1.mlp.fc2.weight", "norm.bias"} <= again.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(again[name], array)
    with pytest.raises(ConfigError, match=r"decoder_embed\.weight.* without a place"):
        assign(everything, tables.TIMM_RULES, encoder, where="mae")
