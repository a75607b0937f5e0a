"""A message passing network predicts properties of small molecules from their geometry.

System:    MPNN (Gilmer et al. 2017, arXiv 1704.01212): predict properties of molecules
Command:   python -m experiments.prepare --dataset=qm9
           python -m experiments.train --config=configs/mpnn/qm9.py:gap
Hardware:  two CPU cores, minutes; `:gap_complete` a GPU
Expected:  test/gap_mae 4.6 in units of chemical accuracy; the mean of the training molecules, the
           evaluation "floor", has 24.9. No result of the other variants is recorded yet
Source:    Gilmer et al. 2017, table 2, states error ratios of 0.3 to 2 for 110,000 training
           molecules. The set here has 16,000, so none of these is a claim of this recipe

Errors are in units of chemical accuracy, as in papers on QM9: 1 is 0.043 eV for the gap, 0.1
bohr^3 for the polarizability and 0.05 cal/mol/K for the heat capacity. Edges are bonds with their
length. In `:gap_complete` all pairs of atoms have an edge, as in the paper, and the network and
the training are longer.
"""

from ml_collections import ConfigDict

from library import presets

# Property, its mean and deviation over the training molecules, and whether all atoms are joined.
VARIANTS = {
    "gap": ("gap", 159.6, 29.7, False),
    "polarizability": ("polarizability", 753.3, 80.9, False),
    "heat_capacity": ("heat_capacity", 632.7, 81.7, False),
    "gap_complete": ("gap", 159.6, 29.7, True),
}


def get_config(variant: str = "gap") -> ConfigDict:
    name, mean, scale, complete = VARIANTS[variant]
    config = ConfigDict()
    edges = 14_336 if complete else 1_536
    config.dataset = dict(
        name="qm9",
        train="train",
        test="test",
        batch_size=32,
        cache="device",
        graphs=dict(num_graphs=32, num_nodes=736, num_edges=edges),
    )
    span = dict(num=32, highest=10.0, cutoff=20.0) if complete else dict(num=16, highest=2.0)
    config.preprocess = [
        dict(name="distances", **span),
        dict(name="chemical_accuracy", properties=[name]),
        dict(name="select", keys=["nodes", "edges", "edge_features", "target"]),
    ]
    sizes = dict(width=64, steps=6) if complete else dict(width=32, edge_hidden=64)
    config.model = dict(name="mpnn", num_classes=1, **sizes)
    config.task = dict(
        name="regression",
        num_outputs=1,
        inputs=[*presets.GRAPH_INPUTS, "edge_features"],
        target_mean=[mean],
        target_scale=[scale],
        output_names=[name],
    )
    config.optimizer = dict(
        name="adam",
        learning_rate=1e-3,
        schedule=dict(name="linear", warmup="200 steps"),
        clip=dict(global_norm=1.0),
    )
    config.total = "100 epochs" if complete else "8 epochs"
    config.evaluate = dict(
        val=dict(kind="metrics", split="val", every="1 epoch"),
        test=dict(kind="metrics", every="100%"),
        floor=dict(kind="constant_prediction", every="100%"),
        drawn=dict(kind="graph_drawings", attention="set2set/attention", every="100%"),
    )
    config.checkpoint = dict(every="25%", best=f"val/{name}_mae", mode="min")
    config.steps_per_call = 10
    config.log_every = "100 steps"
    config.seed = 0
    return config
