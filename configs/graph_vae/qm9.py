"""A variational autoencoder draws small molecules.

System:    GraphVAE (Simonovsky & Komodakis 2018, arXiv 1802.03480): generate molecules
Command:   python -m experiments.prepare --dataset=qm9
           python -m experiments.train --config=configs/graph_vae/qm9.py
Hardware:  two CPU cores; three minutes
Expected:  no result is recorded yet. In a first run the latent variables collapsed: after ten
           epochs drawn/validity was 1.0, but drawn/uniqueness 0.005. Try a smaller task.beta
Source:    none for these data: the paper trains on the 134,000 molecules of QM9 and checks validity
           by RDKit

16,000 molecules of up to nine atoms, without hydrogen. Validity here is the project's own rule of
usual valences, without charges; drawn/known is the share of the training molecules that keep it.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="qm9", train="train", test="test", batch_size=64, eval_batch_size=500, cache="device"
    )
    config.preprocess = [
        dict(name="molecule_matrices"),
        dict(name="select", keys=["atoms", "bonds"]),
    ]
    config.model = dict(name="graph_vae")
    config.task = dict(name="molecule_generation")
    config.optimizer = dict(
        name="adam", learning_rate=1e-3, schedule=dict(name="linear", warmup="200 steps")
    )
    config.total = "20 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="2 epochs"),
        drawn=dict(kind="generated_molecules", every="50%"),
    )
    config.checkpoint = dict(every="25%")
    config.steps_per_call = 25
    config.log_every = "250 steps"
    config.seed = 0
    return config
