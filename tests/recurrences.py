"""One step of each recurrent cell, in numpy: what the layers of the library are held to.

`p` are the params of a layer, `x` its input (..., d), and a state has "h", and "c" of an LSTM.
"""

from typing import Any

import numpy as np

State = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-x))."""
    return 1 / (1 + np.exp(-x))


def elman(p: Any, x: np.ndarray, state: State) -> State:
    """Returns the state after a step, through a second layer if there is one."""
    gates = x @ p["input"]["kernel"] + p["input"]["bias"]
    first = np.tanh(gates + state["h"] @ p["recurrent"]["kernel"])
    if "transition2" not in p:
        return {"h": first}
    deeper = first @ p["transition2"]["kernel"] + p["transition2"]["bias"]
    shortcut = state["h"] @ p["shortcut"]["kernel"] if "shortcut" in p else 0
    return {"h": np.tanh(deeper + shortcut)}


def lstm(p: Any, x: np.ndarray, state: State) -> State:
    """Returns the state after a step, with peepholes if there are some."""
    gates = x @ p["input"]["kernel"] + p["input"]["bias"] + state["h"] @ p["recurrent"]["kernel"]
    i, f, g, o = np.split(gates, 4, axis=-1)
    of_i, of_f, of_o = p.get("peepholes", np.zeros(3))
    kept = sigmoid(f + of_f * state["c"]) * state["c"]
    c = kept + sigmoid(i + of_i * state["c"]) * np.tanh(g)
    return {"c": c, "h": sigmoid(o + of_o * c) * np.tanh(c)}


def gru(p: Any, x: np.ndarray, state: State) -> State:
    """Returns the state after a step; the reset gate comes after the product."""
    own = x @ p["input"]["kernel"] + p["input"]["bias"]
    (ar, az, an), (br, bz, bn) = (
        np.split(v, 3, axis=-1) for v in (own, state["h"] @ p["recurrent"]["kernel"])
    )
    r, z = sigmoid(ar + br), sigmoid(az + bz)
    n = np.tanh(an + r * (bn + p["recurrent"]["bias"]))
    return {"h": (1 - z) * n + z * state["h"]}


STEPS = {"elman": elman, "lstm": lstm, "gru": gru}
