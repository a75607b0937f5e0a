"""What the backward pass computes again instead of keeping it, by name.

Chen et al. 2016, "Training deep nets with sublinear memory cost", arXiv 1604.06174.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from library.config import check_choice

# "full" keeps what goes into a block alone; "dots" the results of its dense layers, too, not the
# products within attention, whose size grows with the square of the tokens.
POLICIES: dict[str, Callable | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def rematted(block: Any, remat: bool | str, **options: Any) -> Any:
    """Wraps a block so that the backward pass computes again what is not kept of it.

    Args:
      block: a module's class, or a function of a module.
      remat: a name in `POLICIES`; True is "full", False "none", which returns the block as it is.
      options: of `nn.remat`: `static_argnums`, `prevent_cse`.

    Raises:
      ConfigError: an unknown name.
    """
    name = {True: "full", False: "none"}.get(remat, remat)
    check_choice("remat", name, POLICIES)
    return block if name == "none" else nn.remat(block, policy=POLICIES[name], **options)
