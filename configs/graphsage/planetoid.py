"""GraphSAGE finds the subjects of papers from samples of the papers beside them.

System:    GraphSAGE (Hamilton et al. 2017, arXiv 1706.02216): classify the nodes of a graph
Command:   python -m experiments.prepare --dataset=planetoid/cora
           python -m experiments.sweep --config=configs/graphsage/planetoid.py:cora --seeds=0,1,2
Hardware:  one device, such as a CPU core; a minute a seed
Expected:  no result is recorded yet; the aim is test/accuracy 0.79 to 0.81 (cora) and 0.67 to 0.70
           (citeseer). DGL's example reports 0.833 and 0.711 with other aggregates and layers
Source:    none for these splits in the paper, whose citation data are other papers

Training draws 25 neighbours for the first layer and 10 for the second, anew in each step;
evaluations take all. `:citeseer` needs `--dataset=planetoid/citeseer`. `:pool` is Cora with the
maximum of a layer over the neighbours.
"""

from ml_collections import ConfigDict

from library import presets

# Data set and aggregator.
VARIANTS = {
    "cora": ("cora", "mean"),
    "citeseer": ("citeseer", "mean"),
    "pool": ("cora", "pool"),
}


def get_config(variant: str = "cora") -> ConfigDict:
    name, aggregator = VARIANTS[variant]
    config = presets.planetoid(name)
    classes = presets.PLANETOID[name][0]
    config.model = dict(
        name="graphsage", num_classes=classes, width=32, dropout=0.5, aggregator=aggregator
    )
    config.task = dict(name="node_classification", num_classes=classes)
    config.optimizer = dict(name="adam", learning_rate=0.01, weight_decay=5e-4)
    config.total = "200 steps"
    return config
