"""Networks that forecast the next value, and find anomalies in 48 series by their error.

System:    Anomalies by forecasts (Malhotra et al. 2015, "Long short term memory networks for
           anomaly detection in time series"): find anomalies
Command:   python -m experiments.prepare --dataset=nab
           python -m experiments.train --config=configs/anomaly_forecaster/nab.py:lstm
Hardware:  one CPU core, a few minutes
Expected:  no result is claimed. On all 58 series of the benchmark HTM has 70, KNN-CAD 58, a
           windowed Gaussian 40 and a random detector 11 (nab/standard); the ten of tweets are
           missing here
Source:    the scoreboard of numenta/NAB, for these

`:lstm` is the network of the paper, and `:nlinear` a linear one. One network forecasts all series.
It trains on the first 15 % of each. The score of a step is its error in deviations from the mean
of the errors before, as in the paper.

NAB has no validation split. That a network sees steps relative to the last, and that a step is
judged by its own error, was chosen after scores on these series.
"""

from ml_collections import ConfigDict

from library import presets

VARIANTS = {
    "lstm": dict(name="rnn.lstm", width=32),
    "nlinear": dict(name="ltsf_linear.nlinear"),
}


def get_config(variant: str = "lstm") -> ConfigDict:
    config = presets.anomalies(known=32)
    config.model = dict(VARIANTS[variant])
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "10 epochs"
    return config
