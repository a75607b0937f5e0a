"""Flags of XLA with which programs compile sooner: those of tests run for milliseconds."""

import importlib.metadata

# Other code for fusions takes a third less time to compile; from jaxlib 0.12 on there is one kind.
_OLDER = importlib.metadata.version("jaxlib").startswith(("0.10.", "0.11."))
QUICK = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    *(("--xla_cpu_use_fusion_emitters=false",) if _OLDER else ()),
)
