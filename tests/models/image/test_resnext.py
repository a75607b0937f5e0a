import jax
import jax.numpy as jnp
import numpy as np
import pytest

from library.config import ConfigError
from library.models.image import resnet, resnext
from library.weights.resnext import PUBLISHED
from tests import often, sizes


@pytest.mark.parametrize("name", often.first(1, PUBLISHED))
def test_params_and_multiply_adds(name):
    model = getattr(resnext, name)()
    assert sizes.parameters(model) == PUBLISHED[name].parameters
    assert 2 * round(sizes.millions(model)) == pytest.approx(PUBLISHED[name].gflops * 1e3, abs=2)


def test_bottlenecks_are_those_of_table_1():
    model = resnext.resnext50_32x4d()
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    for stage, width in enumerate((128, 256, 512, 1024), 1):
        block = params[f"stage{stage}_block2"]
        kernels = [block[f"conv{i}"]["kernel"].shape for i in (1, 2, 3)]
        out = 2 * width
        assert kernels == [(1, 1, out, width), (3, 3, width // 32, width), (1, 1, width, out)]
    expected = {1: (56, 56, 256), 2: (28, 28, 512), 3: (14, 14, 1024), 4: (7, 7, 2048)}
    shapes = sizes.shapes(model)
    assert {stage: shapes[f"stage{stage}"] for stage in expected} == expected


def test_a_block_is_the_sum_of_as_many_bottlenecks_as_groups():
    # Figure 3a: each path has its own 1x1, 3x3 and 1x1 convolution.
    paths, path = 3, 2
    block = resnet.Block("bottleneck", 3, 1, "projection", groups=paths, widen=2)
    x = jax.random.normal(jax.random.key(0), (1, 5, 5, 12))
    shapes = jax.eval_shape(lambda: block.init(jax.random.key(0), x, False))
    rng = np.random.default_rng(0)
    variables = jax.tree.map(lambda p: np.float32(rng.uniform(0.1, 1, p.shape)), shapes)
    p, s = variables["params"], variables["batch_stats"]

    def normalized(y, name, part=slice(None)):
        scale = p[name]["scale"] / np.sqrt(s[name]["var"] + 1e-5)
        return (y - s[name]["mean"][part]) * scale[part] + p[name]["bias"][part]

    total = 0
    for i in range(paths):
        part = slice(i * path, (i + 1) * path)
        y = np.maximum(normalized(x @ p["conv1"]["kernel"][0, 0][:, part], "norm1", part), 0)
        y = np.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = p["conv2"]["kernel"][..., part]
        y = sum(y[:, r : r + 5, c : c + 5] @ kernel[r, c] for r in range(3) for c in range(3))
        y = np.maximum(normalized(y, "norm2", part), 0)
        total += y @ p["conv3"]["kernel"][0, 0][part]
    expected = np.maximum(x + normalized(total, "norm3"), 0)
    np.testing.assert_allclose(block.apply(variables, x, False), expected, rtol=1e-5)


def test_arguments():
    model = resnext.resnext101_32x8d(num_classes=7, stem="cifar", norm="group", dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, variables = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    assert set(variables) == {"params"}
    with pytest.raises(ConfigError, match="stem"):
        resnext.resnext50_32x4d(stem="imagnet")
