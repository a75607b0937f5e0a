"""The page of an exported program: what it takes and returns, and five lines that call it."""

import json
from typing import Any

import jax

from library import config
from library.run.plan import Plan

MODEL = "model.stablehlo"
_MEANINGS = {
    "index": "the number of the example; random draws depend on it",
    "row": "the number of the example in a dataset; random draws depend on it",
    "mask": "1, or 0 for padding",
    "seed": "the seed of all random draws",
}


def page(plan: Plan, program: Any, averaged: bool) -> str:
    """Returns the text of README.md.

    Args:
      plan: the run.
      program: see `stablehlo.Program`.
      averaged: whether the weights are the running averages.
    """
    weights = "the running averages of the params" if averaged else "the params"
    parts = [
        f"# {plan.recipe.model.get('name', 'model')}: {program.output}",
        f"`{MODEL}` computes the output `{program.output}` of task "
        f"`{plan.recipe.task['name']}`. It holds {weights}. It needs only JAX and NumPy: "
        "`pip install jax flatbuffers`; JAX reads exported programs with the latter.",
        f"```python\n{example(program)}\n```",
        _inputs(program),
        _returned(program),
        _before(plan),
    ]
    if plan.label_names is not None:
        parts.append(f"`classes.json` lists the {len(plan.label_names):,} classes in their order.")
    return "\n\n".join(parts) + "\n"


def example(program: Any) -> str:
    """Returns five lines of Python that call the program on zeros."""
    size, arguments = program.batch or 2, []
    for name, x in program.inputs.items():
        shape = x.shape if name == "seed" else (size, *x.shape)
        numbered = name in ("index", "row")
        made = f"np.arange({size}, dtype" if numbered else f"np.zeros({shape}, dtype"
        arguments.append(f"{made}=np.{x.dtype})")
    return "\n".join(
        [
            "import numpy as np",
            "from jax import export",
            "",
            f'program = export.deserialize(bytearray(open("{MODEL}", "rb").read()))',
            f"{program.output} = program.call({', '.join(arguments)})",
            f"print({program.output})",
        ]
    )


def _inputs(program: Any) -> str:
    count = "any number of" if program.batch is None else f"{program.batch}"
    lines = [f"A call takes {count} examples `b`, and these inputs in order:", ""]
    lines += ["| Input | Shape | Type | |", "| --- | --- | --- | --- |"]
    for name, x in program.inputs.items():
        shape = _shape(x.shape if name == "seed" else ("b", *x.shape))
        lines.append(f"| `{name}` | {shape} | {x.dtype} | {_MEANINGS.get(name, '')} |")
    platforms = ", ".join(program.exported.platforms)
    lines += ["", f"It runs on {platforms}."]
    lines += [f"It does not lower for {name}: {why}" for name, why in program.left_out.items()]
    return "\n".join(lines)


def _returned(program: Any) -> str:
    shapes = [f"{_shape(x.shape)} {x.dtype}" for x in jax.tree.leaves(program.exported.out_avals)]
    return f"It returns {', '.join(shapes)}."


def _before(plan: Plan) -> str:
    """Returns what is done before the program, and what it does with images itself."""
    stages = plan.recipe.preprocess
    specs = stages["test"] if isinstance(stages, dict) else stages
    lines = "\n".join(json.dumps(config.plain(spec)) for spec in specs) or "nothing"
    normalize = config.plain(plan.recipe.normalize)
    text = f"These operations come before the program:\n\n```\n{lines}\n```"
    if "image" in plan.loader.kinds.values():
        text += "\n\nThe program itself scales images from [0, 255] to [0, 1]"
        text += f", and normalizes them by {json.dumps(normalize)}." if normalize else "."
    return text


def _shape(shape: Any) -> str:
    return f"({', '.join(map(str, shape))})"
