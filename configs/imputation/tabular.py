"""An autoencoder fills in missing values of a table, and its codes group the rows.

System:    Imputation by a denoising autoencoder (Gondara & Wang 2018, "MIDA: Multiple imputation
           using denoising autoencoders"): fill in missing values, group rows
Command:   python -m experiments.prepare --dataset=tabular/wine
           python -m experiments.train --config=configs/imputation/tabular.py:wine
           python -m experiments.prepare --dataset=tabular/wisconsin
           python -m experiments.train --config=configs/imputation/tabular.py:wisconsin
Hardware:  any; a minute
Expected:  no result is claimed; the aim of this project is test/squared_error below
           test/mean_error, that of filling in the mean, which is about 1
Source:    none on these tables

Values are standardized. `:wisconsin` has 16 missing values of its own. The evaluations "codes" and
"rows" group the training rows by k-means of two numbers each, the code, and of the rows as they
are.
"""

from ml_collections import ConfigDict

# Columns.
VARIANTS = {"wine": 13, "wisconsin": 9}


def get_config(variant: str = "wine") -> ConfigDict:
    columns = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name=f"tabular/{variant}",
        train="train",
        test="test",
        batch_size=32,
        eval_batch_size=32,
        cache="device",
    )
    config.preprocess = [dict(name="standardize", key="features", missing=True)]
    config.model = dict(name="mlp", num_classes=columns, hidden=[32, 2, 32], activation="tanh")
    config.task = dict(name="imputation", code="stage2")
    config.optimizer = dict(name="adam", learning_rate=5e-3, schedule=dict(name="cosine"))
    config.total = "300 epochs"
    config.evaluate = dict(
        test=dict(kind="metrics", every="10%"),
        codes=dict(kind="clusters", every="25%"),
        rows=dict(kind="clusters", output="values", every="100%"),
    )
    config.checkpoint = dict(every="50%")
    config.log_every = "2%"
    config.seed = 0
    return config
