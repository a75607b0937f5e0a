"""Networks on small tables of UCI, with ridge regression and gradient boosting beside them.

System:    MLP on tables (Gorishniy et al. 2021, arXiv 2106.11959): predict from a table
Command:   python -m experiments.prepare --dataset=tabular/abalone
           python -m experiments.train --config=configs/tabular_mlp/uci.py:abalone
Hardware:  one CPU core, a minute
Expected:  no result is claimed. The evaluations "ridge" and "boosting" measure scikit-learn's
           methods on the same split
Source:    none: the settings are ours

`:abalone` predicts the rings of a shell, its age in years less 1.5, `:wine_quality_red` and
`:wine_quality_white` marks from 0 to 10, and `:wine` one of three growers. A fifth of the training
rows is for validation; the methods of scikit-learn learn from the other four, as the network does.
"""

from ml_collections import ConfigDict

from library import presets

# Batch size, and the mean and the scale of the target; None for classes.
VARIANTS = {
    "abalone": (64, (10.0, 3.0)),
    "wine": (8, None),
    "wine_quality_red": (64, (5.6, 0.8)),
    "wine_quality_white": (64, (5.9, 0.9)),
}


def get_config(variant: str = "abalone") -> ConfigDict:
    batch_size, scaling = VARIANTS[variant]
    config = presets.in_memory(f"tabular/{variant}", batch_size, eval_batch_size=100)
    config.dataset.train = "train[:80%]"
    config.splits = dict(validation=dict(split="train[80%:]"))
    config.preprocess = [dict(name="standardize", key="features")]
    config.model = dict(name="mlp.mlp", hidden=[64, 64], dropout=0.1)
    if scaling is None:
        config.task = dict(name="classification", inputs=["features"])
        best = dict(best="validation/accuracy")
    else:
        mean, scale = scaling
        config.task = dict(
            name="regression", inputs=["features"], target_mean=[mean], target_scale=[scale]
        )
        best = dict(best="validation/rmse", mode="min")
    config.optimizer = dict(
        name="adamw", learning_rate=1e-3, weight_decay=0.1, schedule=dict(name="cosine")
    )
    config.total = "60 epochs"
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="10%"),
        test=dict(kind="metrics", every="100%"),
        ridge=dict(kind="scikit_learn", method="ridge", every="100%"),
        boosting=dict(kind="scikit_learn", method="gradient_boosting", every="100%"),
    )
    config.checkpoint = dict(every="10%", **best)
    config.log_every = "5%"
    return config
