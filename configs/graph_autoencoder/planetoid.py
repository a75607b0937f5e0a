"""A graph autoencoder predicts citations that were taken away from a graph of papers.

System:    Graph autoencoder (Kipf & Welling 2016, arXiv 1611.07308): predict edges of a graph
Command:   python -m experiments.prepare --dataset=planetoid/cora
           python -m experiments.train --config=configs/graph_autoencoder/planetoid.py:gae
Hardware:  one device, such as a CPU core; half a minute
Expected:  test/auc 0.891 and test/average_precision 0.896 with `:gae`, below what is reported; no
           result of `:vgae` is recorded yet
Source:    github.com/MysteryVaibhav/RWR-GAE, which quotes the paper: AUC 0.91 and 0.914, average
           precision 0.92 and 0.926 for gae and vgae

A twentieth of Cora's edges are for validation and a tenth for testing, with as many pairs without
an edge; all runs have the same split. The encoder is a GCN of 32 and 16 channels, trained by Adam
at 0.01 for 200 steps. `:vgae` has random vectors.
"""

from ml_collections import ConfigDict

from library import presets

# Whether the vectors are random, and the AUC that is reported.
VARIANTS = {"gae": (False, 0.91), "vgae": (True, 0.914)}


def get_config(variant: str = "gae") -> ConfigDict:
    variational, reported = VARIANTS[variant]
    config = presets.planetoid("cora")

    def hiding(split: str) -> list[dict]:
        kept = ["nodes", "edges", "pairs", "pairs_label"]
        return [
            dict(name="hold_out_edges", split=split),
            dict(name="both_directions"),
            dict(name="normalize_nodes"),
            dict(name="select", keys=kept),
        ]

    config.preprocess = dict(train=hiding("train"), test=hiding("test"))
    config.splits = dict(val=dict(split="train", preprocess=hiding("val")))
    config.model = dict(name="gcn", num_classes=32 if variational else 16, hidden=[32], dropout=0.0)
    config.task = dict(name="link_prediction", variational=variational)
    config.optimizer = dict(name="adam", learning_rate=0.01)
    config.total = "200 steps"
    config.reported = dict(
        metric="test/auc", value=reported, source="github.com/MysteryVaibhav/RWR-GAE, README"
    )
    return config
