"""Policies for what the backward pass recomputes instead of storing it.

Chen et al. 2016, "Training deep nets with sublinear memory cost", arXiv 1604.06174.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from library.config import check_choice

# "full" stores only the inputs of a block. "dots" also stores the results of its dense layers, but
# not the products within attention, whose size grows with the square of the number of tokens.
POLICIES: dict[str, Callable | None] = {
    "none": None,
    "full": jax.checkpoint_policies.nothing_saveable,
    "dots": jax.checkpoint_policies.dots_with_no_batch_dims_saveable,
}


def with_remat(block: Any, remat: bool | str, **options: Any) -> Any:
    """Wraps a block so that the backward pass recomputes what the policy does not store.

    Args:
      block: class of a module, or function of a module.
      remat: a name in `POLICIES`. True means "full". False means "none", which returns the block
        unchanged.
      **options: options of `nn.remat`: `static_argnums`, `prevent_cse`.

    Raises:
      ConfigError: the name is unknown.
    """
    name = {True: "full", False: "none"}.get(remat, remat)
    check_choice("remat", name, POLICIES)
    return block if name == "none" else nn.remat(block, policy=POLICIES[name], **options)
