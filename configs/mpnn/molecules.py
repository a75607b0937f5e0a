"""A message passing network predicts how well molecules dissolve in water.

System:    MPNN (Gilmer et al. 2017, arXiv 1704.01212): predict properties of molecules
Command:   python -m experiments.prepare --dataset=molecules/esol
           python -m experiments.train --config=configs/mpnn/molecules.py
Hardware:  two CPU cores; two minutes
Expected:  no result is recorded yet; the aim is test/rmse 0.6 to 0.8 log mol/l. The mean of the
           training molecules, the evaluation "floor", has 2.25
Source:    Wu et al. 2018, "MoleculeNet", reports a root mean square error of 0.58 for MPNN on
           random splits, which are not those of this data set

Molecules are read from SMILES by this project's own reader; `--config.preprocess.0.reader=rdkit`
takes RDKit, if it is installed.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="molecules/esol",
        train="train",
        test="test",
        batch_size=32,
        cache="device",
        graphs=dict(num_graphs=32, num_nodes=1_056, num_edges=2_304),
    )
    config.preprocess = [dict(name="molecule_graph")]
    config.model = dict(name="mpnn", num_classes=1, width=32, edge_hidden=64)
    config.task = dict(
        name="regression",
        num_outputs=1,
        inputs=[*presets.GRAPH_INPUTS, "edge_features"],
        target_mean=[-3.0],
        target_scale=[2.1],
    )
    config.optimizer = dict(
        name="adamw",
        learning_rate=1e-3,
        weight_decay=1e-2,
        schedule=dict(name="linear", warmup="100 steps"),
        clip=dict(global_norm=1.0),
    )
    config.total = "80 epochs"
    config.evaluate = dict(
        val=dict(kind="metrics", split="val", every="5 epochs"),
        test=dict(kind="metrics", every="100%"),
        floor=dict(kind="constant_prediction", every="100%"),
        drawn=dict(kind="graph_drawings", attention="set2set/attention", every="100%"),
    )
    config.checkpoint = dict(every="25%", best="val/rmse", mode="min")
    config.steps_per_call = 10
    config.log_every = "100 steps"
    config.seed = 0
    return config
