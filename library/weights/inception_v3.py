"""Published weights of Inception-v3: torchvision's, and those that measure Frechet distances."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from library.config import ConfigError
from library.models.inception_v3 import InceptionV3
from library.weights import files
from library.weights.mapping import Rule, assign, conv_kernel, dense_kernel

FID_FILE = "pt_inception-2015-12-05-6726825d.pth"
FID_CLASSES = 1008

_LAYER = r"(Conv2d_\w+|Mixed_\w+\.\w+|AuxLogits\.conv\d)"
RULES = (
    Rule(rf"{_LAYER}\.conv\.weight", r"params/\1/conv/kernel", conv_kernel),
    Rule(rf"{_LAYER}\.bn\.weight", r"params/\1/norm/scale"),
    Rule(rf"{_LAYER}\.bn\.bias", r"params/\1/norm/bias"),
    Rule(rf"{_LAYER}\.bn\.running_mean", r"batch_stats/\1/norm/mean"),
    Rule(rf"{_LAYER}\.bn\.running_var", r"batch_stats/\1/norm/var"),
    Rule(r"(AuxLogits\.fc)\.weight", r"params/\1/kernel", dense_kernel),
    Rule(r"(AuxLogits\.fc)\.bias", r"params/\1/bias"),
    Rule(r"fc\.weight", r"params/head/kernel", dense_kernel),
    Rule(r"fc\.bias", r"params/head/bias"),
)
# The auxiliary classifier has a place only in a model that was built with it.
IGNORED = (r".*\.num_batches_tracked", r"AuxLogits\..*")


def load(path: str, model: InceptionV3) -> dict[str, Any]:
    """Reads variables of the model, numpy arrays, from a file of PyTorch's or safetensors.

    Raises:
      ConfigError: the file is missing, cannot be read, or does not fit the model.
    """
    if not Path(path).expanduser().is_file():
        raise ConfigError(
            f"weights={str(path)!r}: there is no such file. {FID_FILE}, which Frechet distances "
            "are measured by, is in the release fid_weights of mseitzer/pytorch-fid"
        )
    image = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return assign(files.read(path), RULES, shapes, ignored=IGNORED, where=str(path))
