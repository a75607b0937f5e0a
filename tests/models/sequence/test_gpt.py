import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from library import config
from library.models.sequence import gpt as transformer
from library.models.sequence.gpt import gpt
from tests import often

TOKENS = jax.random.randint(jax.random.key(0), (3, 8), 0, 11)
KEY = jax.random.key(1)
# Every option that changes how the blocks are run.
OPTIONS = {
    "plain": {},
    "rotary": dict(positions="rotary"),
    "grouped": dict(num_kv_heads=2),
    "one key head, rotary, scan": dict(num_kv_heads=1, positions="rotary", scan_layers=True),
    "scan, remat": dict(scan_layers=True, remat="full"),
    "no bias, untied": dict(bias=False, tied=False),
}


def tiny(**options):
    sizes = dict(vocab_size=11, context=8, width=16, depth=2, num_heads=4, feed_forward=24)
    return gpt(**sizes | options)


@functools.cache
def weights(case):
    """Params larger than at the start, so that attention is far from a mean."""
    variables = tiny(**OPTIONS[case]).init(KEY, TOKENS)
    return jax.tree.map(lambda x: x * 8 if x.ndim > 1 else x + 0.1, variables)


def count(model):
    shapes = jax.eval_shape(model.init, KEY, jnp.zeros((1, 4), jnp.int32))
    return sum(math.prod(p.shape) for p in jax.tree.leaves(shapes))


@pytest.mark.parametrize(
    ("name", "expected"),
    often.first(
        2,
        [
            ("gpt2", 124_439_808),
            ("gpt2_medium", 354_823_168),
            ("gpt2_large", 774_030_080),
            ("gpt2_xl", 1_557_611_200),
        ],
    ),
)
def test_params_of_the_published_sizes(name, expected):
    assert count(getattr(transformer, name)()) == expected
    if name == "gpt2":
        assert count(gpt(50_257)) == expected
        assert count(transformer.gpt2(scan_layers=True)) == expected


def test_params_as_nanogpt_counts_them():
    # It prints 10.65M and 0.80M, without the embeddings of positions.
    large = gpt(65, context=256, width=384, depth=6, num_heads=6, bias=False)
    assert count(large) - 256 * 384 == 10_646_784
    small = gpt(65, context=64, width=128, depth=4, num_heads=4, bias=False)
    assert count(small) - 64 * 128 == 795_904


@pytest.mark.parametrize("case", often.only(["one key head, rotary, scan"], OPTIONS))
def test_a_token_changes_nothing_before_it(case):
    model, variables = tiny(**OPTIONS[case]), weights(case)
    apply = jax.jit(model.apply)
    logits = apply(variables, TOKENS)
    assert logits.shape == (3, 8, 11)
    assert logits.dtype == jnp.float32
    changed = apply(variables, TOKENS.at[:, 5].add(1))
    np.testing.assert_array_equal(logits[:, :5], changed[:, :5])
    assert (jnp.abs(logits - changed)[:, 5:].max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize("case", often.but(["plain", "scan, remat"], OPTIONS))
@pytest.mark.parametrize("prompt", often.only([3], [0, 3]))
def test_decoding_by_the_cache_is_the_whole_computation(case, prompt):
    model, variables = tiny(**OPTIONS[case]), weights(case)
    expected = jax.jit(model.apply)(variables, TOKENS)
    step = jax.jit(functools.partial(model.apply, method="step"))
    cache = model.initial_cache(3, 8)
    if prompt:
        # Filled up with other tokens, which are then replaced.
        filled = TOKENS.at[:, prompt:].set(7)
        cache = jax.jit(functools.partial(model.apply, method="prefill"))(variables, filled, cache)
    for position in range(prompt, 8):
        logits, cache = step(variables, TOKENS[:, position, None], cache, jnp.int32(position))
        assert logits.dtype == jnp.float32
        np.testing.assert_allclose(logits, expected[:, position], rtol=1e-4, atol=2e-5)


def test_rows_may_stand_at_different_positions():
    model, variables = tiny(), weights("plain")
    expected = model.apply(variables, TOKENS)
    cache = model.apply(variables, TOKENS, model.initial_cache(3, 8), method="prefill")
    positions = jnp.array([2, 7, 4])
    last = jnp.take_along_axis(TOKENS, positions[:, None], axis=1)
    logits, _ = model.apply(variables, last, cache, positions, method="step")
    np.testing.assert_allclose(logits, expected[jnp.arange(3), positions], rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize(
    "case", often.but(["plain", "rotary"], ["plain", "rotary", "one key head, rotary, scan"])
)
def test_packed_documents_are_each_as_if_alone(case):
    model, variables = tiny(**OPTIONS[case]), weights(case)
    segments = jnp.array([[1, 1, 1, 2, 2, 2, 2, 2], [4, 4, 4, 4, 4, 9, 0, 0], [1] * 8])
    run = jax.jit(functools.partial(model.apply, variables))
    packed = run(TOKENS, segments=segments)
    for row, part in [
        (0, slice(3)),
        (0, slice(3, 8)),
        (1, slice(5)),
        (1, slice(5, 6)),
        (2, slice(8)),
    ]:
        expected = run(TOKENS[row : row + 1, part])[0]
        np.testing.assert_allclose(packed[row, part], expected, rtol=1e-4, atol=2e-5)
    assert jnp.isfinite(packed).all()
    # What stands in another document has no influence at all.
    changed = run(TOKENS.at[0, :3].add(1), segments=segments)
    np.testing.assert_array_equal(packed[0, 3:], changed[0, 3:])


def test_grouped_heads_are_repeated_heads():
    variables = weights("grouped")

    def repeat(path, x):
        # Axis -2 counts the heads, of kernels (d, k, e) and of biases (k, e).
        return jnp.repeat(x, 2, axis=-2) if path[-2].key in ("key", "value") else x

    repeated = jax.tree_util.tree_map_with_path(repeat, variables)
    expected = tiny(num_kv_heads=4).apply(repeated, TOKENS)
    np.testing.assert_allclose(
        tiny(num_kv_heads=2).apply(variables, TOKENS), expected, rtol=1e-4, atol=1e-5
    )


def value_and_gradients(model, variables, rngs=None):
    def loss(variables):
        return jnp.sum(jnp.sin(model.apply(variables, TOKENS, train=bool(rngs), rngs=rngs)))

    return jax.jit(jax.value_and_grad(loss))(variables)


def assert_close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-3)


@pytest.mark.full
@pytest.mark.parametrize("remat", often.only(["full"], ["full", "dots"]))
@pytest.mark.parametrize("scan_layers", often.only([True], [False, True]))
def test_recomputing_changes_neither_values_nor_gradients(remat, scan_layers):
    options = dict(scan_layers=scan_layers, dropout=0.3)
    variables = tiny(**options).init(KEY, TOKENS)
    rngs = {"dropout": jax.random.key(4)}
    expected = value_and_gradients(tiny(**options), variables, rngs)
    assert_close(value_and_gradients(tiny(**options, remat=remat), variables, rngs), expected)


def test_a_loop_over_the_blocks_is_the_blocks_in_a_row():
    params = weights("plain")["params"]
    stacked = {k: v for k, v in params.items() if not k.startswith("block")}
    blocks = params["block1"], params["block2"]
    stacked["blocks"] = jax.tree.map(lambda *x: jnp.stack(x), *blocks)
    value, gradients = value_and_gradients(tiny(), {"params": params})
    scanned, ours = value_and_gradients(tiny(scan_layers=True), {"params": stacked})
    np.testing.assert_allclose(scanned, value, rtol=1e-5)
    for i in range(2):
        block = jax.tree.map(lambda x, i=i: x[i], ours["params"]["blocks"])
        assert_close(block, gradients["params"][f"block{i + 1}"])
    assert_close(ours["params"]["tokens"], gradients["params"]["tokens"])


@pytest.mark.full
def test_blocks_in_a_loop_start_differently_and_drop_differently():
    model = tiny(scan_layers=True, dropout=0.5)
    kernel = model.init(KEY, TOKENS)["params"]["blocks"]["fc1"]["kernel"]
    assert jnp.abs(kernel[0] - kernel[1]).max() > 1e-2
    # Blocks that add nothing but their last bias, one each: what is left shows both masks.
    params = jax.tree.map(jnp.zeros_like, model.init(KEY, TOKENS)["params"])
    params["norm"]["scale"] = jnp.ones(16)
    params["blocks"]["fc2"]["bias"] = jnp.array([[1.0], [10.0]]) * jnp.ones((2, 16))
    hidden = model.apply(
        {"params": params}, TOKENS, train=True, method="hidden", rngs={"dropout": KEY}
    )
    # Sums 0, 2, 20 and 22: with the same mask twice, only the first and last would occur.
    assert all(len(np.unique(np.round(row, 4))) == 4 for row in hidden.reshape(-1, 16)[:4])


def test_the_start_is_that_of_gpt2():
    model = gpt(997, context=64, width=64, depth=8, num_heads=4, tied=False)
    params = model.init(KEY, jnp.zeros((1, 64), jnp.int32))["params"]
    for path, leaf in flatten_dict(params, sep="/").items():
        expected = {"bias": 0.0, "scale": 0.0}.get(path.rpartition("/")[2], 0.02)
        if path.endswith(("out/kernel", "fc2/kernel")):
            expected = 0.02 / 16**0.5
        np.testing.assert_allclose(leaf.std(), expected, rtol=0.08, err_msg=path)


@pytest.mark.parametrize("kind", ["tanh", "exact"])
def test_the_gelu_of_the_blocks_is_the_one_asked_for(kind):
    at = np.linspace(-4, 4, 24)
    inner = {
        "tanh": np.tanh((2 / np.pi) ** 0.5 * (at + 0.044715 * at**3)),
        "exact": np.array([math.erf(x / 2**0.5) for x in at]),
    }
    # The two differ by up to 5e-4.
    block = transformer.gpt(11, 8, 24, 1, 1, feed_forward=24, gelu=kind)
    params = jax.tree.map(jnp.zeros_like, block.init(KEY, TOKENS)["params"])
    params["block1"]["fc1"]["bias"] = jnp.asarray(at, jnp.float32)
    params["block1"]["fc2"]["kernel"] = jnp.eye(24)
    params["norm"] = {"scale": jnp.ones(24), "bias": jnp.zeros(24)}
    features = block.apply({"params": params}, TOKENS, method="hidden")
    made = at * (1 + inner[kind]) / 2
    made = (made - made.mean()) / np.sqrt(made.var() + 1e-5)
    np.testing.assert_allclose(features, np.broadcast_to(made, features.shape), atol=5e-6)


def test_untied_logits_have_weights_of_their_own():
    model, variables = tiny(tied=False, bias=False), weights("no bias, untied")
    hidden = model.apply(variables, TOKENS, method="hidden")
    logits = hidden @ variables["params"]["head"]["embedding"].T
    np.testing.assert_allclose(model.apply(variables, TOKENS), logits, rtol=1e-4, atol=1e-5)
    _, recorded = model.apply(variables, TOKENS, mutable=["intermediates"])
    np.testing.assert_array_equal(recorded["intermediates"]["features"], hidden)


@pytest.mark.full
def test_bfloat16_computes_with_float32_params_and_logits():
    model = tiny(dtype="bfloat16", positions="rotary")
    shapes = jax.eval_shape(model.init, KEY, TOKENS)
    assert {x.dtype for x in jax.tree.leaves(shapes)} == {jnp.dtype("float32")}
    run = functools.partial(model.apply, mutable=["intermediates"])
    logits, recorded = jax.eval_shape(run, shapes, TOKENS)
    assert logits.dtype == jnp.float32
    assert recorded["intermediates"]["features"].dtype == jnp.bfloat16
    assert {x.dtype for x in jax.tree.leaves(model.initial_cache(1, 4))} == {jnp.dtype("bfloat16")}
    exact = tiny(positions="rotary").apply(weights("rotary"), TOKENS)
    rounded = model.apply(weights("rotary"), TOKENS)
    assert jnp.abs(exact - rounded).max() < 0.05 * jnp.abs(exact).max()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("case", ["plain", "one key head, rotary, scan"])
def test_cudnn_computes_attention_forward_and_back(monkeypatch, case, packed):
    """Its kernels stand in what would be compiled for a GPU, and no scores of all pairs do."""
    made = dict(dtype="bfloat16", width=64, context=128, num_heads=4) | OPTIONS[case]
    tokens = jnp.zeros((2, 128), jnp.int32)
    params = jax.eval_shape(tiny(**made).init, KEY, tokens)
    model = tiny(**made, attention="cudnn")

    def loss(params):
        segments = tokens if packed else None
        return model.apply(params, tokens, segments=segments, train=True).sum()

    kernels = "jax._src.cudnn.fused_attention_stablehlo"
    monkeypatch.setattr(f"{kernels}.check_cudnn_version", lambda: 91_000)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    lowered = jax.jit(jax.grad(loss)).trace(params).lower(lowering_platforms=("cuda",)).as_text()
    kind = "ScaleBiasSoftmax" if packed else "Softmax"
    assert f"@__cudnn$fmha{kind}(" in lowered
    assert f"@__cudnn$fmha{kind}Backward(" in lowered
    assert "x4x128x128x" not in lowered


@pytest.mark.parametrize("case", OPTIONS)
def test_names_are_lower_case_and_param_dtype_is_that_of_all(case):
    model = tiny(**OPTIONS[case], param_dtype="bfloat16")
    params = jax.eval_shape(model.init, KEY, TOKENS)["params"]
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("bfloat16")}
    assert all(part == part.lower() for path in flatten_dict(params) for part in path)


def test_more_tokens_than_the_context():
    model = tiny()
    with pytest.raises(ValueError, match="9 tokens exceed the context of the model, 8"):
        model.init(KEY, jnp.zeros((1, 9), jnp.int32))
    with pytest.raises(ValueError, match="9 tokens to decode exceed"):
        model.initial_cache(1, 9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(num_kv_heads=3), "num_kv_heads=3 does not divide num_heads=4; valid: 1, 2, 4"),
        (dict(num_heads=5), "width=16 cannot be divided among num_heads=5; nearest: 4 heads"),
        (dict(num_heads=16, positions="rotary"), "heads of 1 features each: .* nearest: width=32"),
        (dict(positions="rotatory"), "positions 'rotatory': did you mean 'rotary'"),
        (dict(attention="flash"), r"attention 'flash': .*valid: xla, cudnn"),
        (dict(attention="cudnn"), "not in dtype=float32; nearest: bfloat16"),
        (dict(attention="cudnn", dtype="bfloat16"), "no heads of 4 features.* nearest: 8"),
        (dict(gelu="erf"), r"gelu 'erf': \(valid: tanh, exact\)"),
        (dict(remat="some"), "remat 'some': .*valid: True, False, none, full, dots"),
        (dict(dropout=1.0), "dropout=1.0"),
        (dict(dtype="f32"), "dtype 'f32'"),
        (dict(depth=0), "depth=0"),
        (dict(context=0), "context=0"),
    ],
)
def test_a_misunderstood_argument_builds_nothing(arguments, message):
    with pytest.raises(config.ConfigError, match=message):
        tiny(**arguments)
