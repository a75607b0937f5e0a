"""R(2+1)D beside torchvision's, with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np

from library.models.video.r2plus1d import r2plus1d_18
from library.weights.drawn import drawn
from library.weights.mapping import assign, conv_rules, dense_rules, norm_rules

BLOCK, THERE = r"stage(\d+)_block(\d+)", "layer{1}.{2-1}"
RULES = (
    *conv_rules("stem/space", "stem.0"),
    *norm_rules("stem/norm", "stem.1"),
    *conv_rules("stem/time", "stem.3"),
    *norm_rules("stem_norm", "stem.4"),
    *conv_rules(rf"{BLOCK}/conv(\d)/space", f"{THERE}.conv{{3}}.0.0"),
    *norm_rules(rf"{BLOCK}/conv(\d)/norm", f"{THERE}.conv{{3}}.0.1"),
    *conv_rules(rf"{BLOCK}/conv(\d)/time", f"{THERE}.conv{{3}}.0.3"),
    *norm_rules(rf"{BLOCK}/norm(\d)", f"{THERE}.conv{{3}}.1"),
    *conv_rules(rf"{BLOCK}/shortcut_conv", f"{THERE}.downsample.0"),
    *norm_rules(rf"{BLOCK}/shortcut_norm", f"{THERE}.downsample.1"),
    *dense_rules("head", "fc"),
)


def test_logits_are_torchvisions(torch, torchvision):
    theirs = torchvision.models.video.r2plus1d_18(weights=None).eval()
    arrays = drawn({k: tuple(x.shape) for k, x in theirs.state_dict().items()})
    theirs.load_state_dict({k: torch.from_numpy(np.asarray(x)) for k, x in arrays.items()})
    model, clip = r2plus1d_18(), np.random.default_rng(0).normal(size=(1, 5, 24, 24, 3))
    clip = clip.astype(np.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.asarray(clip))
    variables = assign(arrays, RULES, shapes, where="drawn")
    with torch.no_grad():
        expected = theirs(torch.from_numpy(np.moveaxis(clip, -1, 1).copy())).numpy()
    found = jax.jit(model.apply)(variables, clip)
    assert np.abs(found - expected).max() / np.abs(expected).max() < 1e-5
