"""Your own table: a CSV file, of which some columns predict another.

System:    MLP on tables (Gorishniy et al. 2021, arXiv 2106.11959): predict from a table
Command:   python -m experiments.train --config=configs/tabular_mlp/own_table.py:target \\
               --config.dataset.data_dir=table.csv --config.dataset.columns.inputs='["length"]' \\
               --config.dataset.columns.target=age
Hardware:  one CPU core for some thousand rows
Expected:  depends on the table
Source:    none: the table is yours

`:target` predicts numbers, `:label` a class (`--config.dataset.columns.label=kind`). `:series`
forecasts the next 12 rows from 24, for a table whose column of time rises
(`--config.dataset.columns.time=date`). The first line of the file has the names of the columns. A
fifth of the rows is for tests, and the evaluations "ridge" and "boosting" measure scikit-learn's
methods on them.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = ("target", "label", "series")


def get_config(variant: str = "target") -> ConfigDict:
    if variant == "series":
        config = presets.forecasting("table", known=24, ahead=12)
        config.dataset.columns = dict(inputs=["value"], time="time")
        config.model = dict(name="ltsf_linear.nlinear")
        config.optimizer = dict(name="adam", learning_rate=1e-3, schedule=dict(name="cosine"))
        config.total = "30 epochs"
    else:
        config = presets.in_memory("table", batch_size=64, eval_batch_size=100)
        config.dataset.train, config.dataset.test = "train[:80%]", "train[80%:]"
        config.dataset.columns = dict(inputs=["x"], **{variant: "y"})
        config.preprocess = [dict(name="standardize", key="features")]
        config.model = dict(name="mlp.mlp", hidden=[64, 64], dropout=0.1)
        task = dict(target="regression", label="classification")[variant]
        config.task = dict(name=task, inputs=["features"])
        config.optimizer = dict(
            name="adamw", learning_rate=1e-3, weight_decay=0.1, schedule=dict(name="cosine")
        )
        config.total = "60 epochs"
        config.evaluate = dict(
            test=dict(kind="metrics", every="10%"),
            ridge=dict(kind="scikit_learn", method="ridge", every="100%"),
            boosting=dict(kind="scikit_learn", method="gradient_boosting", every="100%"),
        )
        best = dict(target=dict(best="test/rmse", mode="min"), label=dict(best="test/accuracy"))
        config.checkpoint = dict(every="10%", **best[variant])
    config.dataset.data_dir = "table.csv"
    return config
