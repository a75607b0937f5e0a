import jax
import jax.numpy as jnp
import pytest

from library.config import ConfigError
from library.models.image.wide_resnet import wide_resnet50_2
from library.weights.wide_resnet import PUBLISHED
from tests import sizes


def test_params_and_multiply_adds():
    model, published = wide_resnet50_2(), PUBLISHED["wide_resnet50_2"]
    assert sizes.parameters(model) == published.parameters
    assert 2 * sizes.millions(model) == pytest.approx(published.gflops * 1e3, abs=1)


def test_bottlenecks_are_twice_as_wide_only_inside():
    model = wide_resnet50_2()
    params = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)))["params"]
    for stage, width in enumerate((64, 128, 256, 512), 1):
        block = params[f"stage{stage}_block2"]
        kernels = [block[f"conv{i}"]["kernel"].shape[2:] for i in (1, 2, 3)]
        assert kernels == [(4 * width, 2 * width), (2 * width, 2 * width), (2 * width, 4 * width)]
    expected = {1: (56, 56, 256), 2: (28, 28, 512), 3: (14, 14, 1024), 4: (7, 7, 2048)}
    shapes = sizes.shapes(model)
    assert {stage: shapes[f"stage{stage}"] for stage in expected} == expected


def test_arguments():
    model = wide_resnet50_2(num_classes=7, stem="cifar", dtype="bfloat16")
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    logits, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), image)
    assert (logits.shape, logits.dtype) == ((2, 7), jnp.float32)
    with pytest.raises(ConfigError, match="norm"):
        wide_resnet50_2(norm="layer")
