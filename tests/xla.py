"""Flags of XLA with which programs compile sooner: those of tests run for milliseconds."""

import importlib.metadata

QUICK = ("--xla_backend_optimization_level=0", "--xla_llvm_disable_expensive_passes=true")
# Other code for fusions, which takes a third less time to compile, and rounds a sum and a product
# once or twice depending on what is around them; from jaxlib 0.12 on there is one kind.
_OLDER = importlib.metadata.version("jaxlib").startswith(("0.10.", "0.11."))
QUICKEST = (*QUICK, *(("--xla_cpu_use_fusion_emitters=false",) if _OLDER else ()))
# What `jax.jit` takes to compile as usual where bits are compared of programs that differ.
USUAL_FUSIONS = {"xla_cpu_use_fusion_emitters": True} if _OLDER else None
