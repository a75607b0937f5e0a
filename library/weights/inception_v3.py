"""Published weights of Inception-v3: torchvision's, and those that measure Frechet distances."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from library.config import ConfigError
from library.models.image.inception_v3 import InceptionV3
from library.weights import files
from library.weights.mapping import Rule, assign, conv_rules, dense_rules, norm_rules
from library.weights.published import HALF, V1, Published, Reported, Table, Transform

FID_FILE = "pt_inception-2015-12-05-6726825d.pth"
FID_CLASSES = 1008


def _layers(here: str, there: str) -> tuple[Rule, ...]:
    return (
        *conv_rules(f"{here}/conv", f"{there}.conv"),
        *norm_rules(f"{here}/norm", f"{there}.bn"),
    )


RULES = (
    *_layers(r"conv2d_(\w+)", "Conv2d_{1}"),
    *_layers(r"mixed_(\w+)/(\w+)", "Mixed_{1}.{2}"),
    *_layers(r"auxlogits/(conv\d)", "AuxLogits.{1}"),
    *dense_rules("auxlogits/fc", "AuxLogits.fc"),
    *dense_rules("head", "fc"),
)
# The auxiliary classifier is ignored, because only a model that is built with it has it.
IGNORED = (r"AuxLogits\..*",)

PUBLISHED: Table = {
    "inception_v3": Published(
        model=dict(name="inception_v3"),
        rules=RULES,
        paper="Szegedy et al. 2016, Rethinking the Inception architecture, arXiv 1512.00567",
        parameters=23_834_568,
        gflops=2 * 5.713,
        reference="torchvision/inception_v3",
        stages=("maxpool1", "maxpool2", "Mixed_6e", "Mixed_7c"),
        ignored=IGNORED,
        transform=Transform(size=299, resize=342, mean=HALF, std=HALF),
        reported=Reported(77.294, 93.450, V1),
        options=dict(aux_logits=False, transform_input=False, init_weights=False),
    )
}


def load(path: str, model: InceptionV3) -> dict[str, Any]:
    """Reads the model's variables, numpy arrays, from a file of PyTorch or safetensors.

    Raises:
      ConfigError: the file is missing, cannot be read, or does not fit the model.
    """
    if not Path(path).expanduser().is_file():
        raise ConfigError(
            f"weights={str(path)!r}: there is no such file. {FID_FILE}, which measures Frechet "
            "distances, is in the release fid_weights of mseitzer/pytorch-fid"
        )
    image = jax.ShapeDtypeStruct((1, 299, 299, 3), jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), image)
    return assign(files.read(path), RULES, shapes, ignored=IGNORED, where=str(path))
