"""A graph convolutional network finds the subjects of papers that cite each other.

System:    GCN (Kipf & Welling 2017, arXiv 1609.02907): classify the nodes of a graph
Command:   python -m experiments.prepare --dataset=planetoid/cora
           python -m experiments.sweep --config=configs/gcn/planetoid.py:cora --seeds=0,1,2,3,4
Hardware:  one device, such as a CPU core; half a minute a seed
Expected:  test/accuracy 0.813 on Cora, the mean of five seeds, with a deviation of 0.005, and 0.711
           on Citeseer, the mean of three, with a deviation of 0.002
Source:    Kipf & Welling 2017, table 2: means of 100 random initializations on Planetoid's public
           split

Hidden layer of 16, dropout 0.5, Adam at 0.01 and 200 steps on the whole graph; the first layer
alone has an L2 penalty, 5e-4 times half of its squares. The authors stop earlier if the validation
loss rises above its last ten values, which these runs do not: they report the last step.
`:citeseer` needs `--dataset=planetoid/citeseer`.
"""

from ml_collections import ConfigDict

from library import presets

# The accuracy that the paper reports.
VARIANTS = {"cora": 0.815, "citeseer": 0.703}


def get_config(variant: str = "cora") -> ConfigDict:
    config = presets.planetoid(variant)
    classes = presets.PLANETOID[variant][0]
    config.model = dict(name="gcn", num_classes=classes)
    config.task = dict(name="node_classification", num_classes=classes)
    config.optimizer = dict(
        name="adam", learning_rate=0.01, weight_decay=5e-4, decayed=["layer1/kernel"]
    )
    config.total = "200 steps"
    config.reported = dict(
        metric="test/accuracy",
        value=VARIANTS[variant],
        source="Kipf & Welling 2017, table 2",
    )
    return config
