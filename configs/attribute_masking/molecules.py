"""A graph network learns from hidden atoms before it learns how well molecules dissolve.

System:    Attribute masking (Hu et al. 2020, arXiv 1905.12265): pre-train on molecules
Command:   python -m experiments.prepare --dataset=molecules/tox21
           python -m experiments.prepare --dataset=molecules/esol
           python -m experiments.train --config=configs/attribute_masking/molecules.py:pretrain
           python -m experiments.train --config=configs/attribute_masking/molecules.py:context
           python -m experiments.train --config=configs/attribute_masking/molecules.py:tuned
           python -m experiments.train --config=configs/attribute_masking/molecules.py:tuned_context
           python -m experiments.train --config=configs/attribute_masking/molecules.py:scratch
Hardware:  two CPU cores; minutes
Expected:  no result is recorded yet. The gain is the difference of test/rmse of `:tuned` or
           `:tuned_context` and of `:scratch`, the same recipe from random params. It is not robust:
           DGL-LifeSci's examples report losses, too
Source:    Hu et al. 2020, table 1, pre-train five layers of 300 channels on two million molecules
           and report other data sets, so none of these is a claim of this recipe

`:pretrain` hides 15 % of the atoms of 6,410 molecules of Tox21, whose labels it does not read.
`:context` learns which surroundings, two to five bonds away, belong to an atom (section 3.1.1 of
the paper). Three layers of 64 channels.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("pretrain", "context", "tuned", "tuned_context", "scratch")
_PRETRAINED = {
    "tuned": "runs/attribute_masking-molecules-pretrain",
    "tuned_context": "runs/attribute_masking-molecules-context",
}
# Nodes and edges that 32 molecules have room for.
_ROOM = {"tox21": (2_048, 4_352), "esol": (1_056, 2_304)}


def get_config(variant: str = "pretrain") -> ConfigDict:
    pretrains = variant in ("pretrain", "context")
    name = "tox21" if pretrains else "esol"
    nodes, edges = _ROOM[name]
    config = ConfigDict()
    config.dataset = dict(
        name=f"molecules/{name}",
        train="train",
        test="test",
        batch_size=32,
        cache="device",
        graphs=dict(num_graphs=32, num_nodes=nodes, num_edges=edges),
    )
    config.preprocess = [dict(name="molecule_graph")]
    config.steps_per_call = 10
    config.log_every = "100 steps"
    config.seed = 0
    config.optimizer = dict(
        name="adam", learning_rate=1e-3, schedule=dict(name="linear", warmup="100 steps")
    )
    return _pretraining(config, variant) if pretrains else _solubility(config, variant)


def _pretraining(config: ConfigDict, variant: str) -> ConfigDict:
    if variant == "pretrain":
        config.model = dict(name="gin.masked", num_classes=18, width=64, depth=3)
        config.task = dict(name="attribute_masking", num_classes=18)
    else:
        config.model = dict(name="gin.context", width=64, depth=3)
        config.task = dict(name="context_prediction", inner=2, outer=5)
    kept = ["nodes", "node_kind", "edges", "edge_features"]
    config.preprocess = [dict(name="molecule_graph"), dict(name="select", keys=kept)]
    config.total = "10 epochs"
    config.evaluate = dict(val=dict(kind="metrics", split="val", every="1 epoch"))
    config.checkpoint = dict(every="25%")
    return config


def _solubility(config: ConfigDict, variant: str) -> ConfigDict:
    config.model = dict(name="gin.molecules", num_classes=1, width=64, depth=3, dropout=0.0)
    config.task = dict(
        name="regression",
        num_outputs=1,
        inputs=[*presets.GRAPH_INPUTS, "edge_features"],
        target_mean=[-3.0],
        target_scale=[2.1],
    )
    if variant in _PRETRAINED:
        config.init_from = dict(workdir=_PRETRAINED[variant], classes="numbers")
    config.total = "50 epochs"
    config.evaluate = dict(
        val=dict(kind="metrics", split="val", every="5 epochs"),
        test=dict(kind="metrics", every="100%"),
        floor=dict(kind="constant_prediction", every="100%"),
    )
    config.checkpoint = dict(every="25%", best="val/rmse", mode="min")
    return config
