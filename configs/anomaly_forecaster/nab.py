"""An LSTM that forecasts the next value, and finds anomalies in 48 series by its error.

System:    Anomalies by forecasts (Malhotra et al. 2015, "Long short term memory networks for
           anomaly detection in time series"): find anomalies
Command:   python -m experiments.prepare --dataset=nab
           python -m experiments.train --config=configs/anomaly_forecaster/nab.py
Hardware:  one CPU core, a few minutes
Expected:  no result is claimed. On all 58 series of the benchmark HTM has 70, KNN-CAD 58, a
           windowed Gaussian 40 and a random detector 11 (nab/standard); the ten of tweets are
           missing here
Source:    the scoreboard of numenta/NAB, for these

One network forecasts all series. It trains on the first 15 % of each. The mean of the last ten
errors, against that of all before, is the score of a step (Ahmad et al. 2017).
"""

from ml_collections import ConfigDict

from library import presets


def get_config(variant: str = "") -> ConfigDict:
    config = presets.anomalies(known=32)
    config.model = dict(name="rnn.lstm", width=32)
    config.optimizer = dict(
        name="adam",
        learning_rate=3e-3,
        clip=dict(global_norm=1.0),
        schedule=dict(name="cosine", warmup="5%"),
    )
    config.total = "10 epochs"
    return config
