"""Codes of words by an N-M-N autoencoder, and a perceptron that classifies by them (SST-2).

System:    N-M-N autoencoder (Rumelhart, Hinton & Williams 1986, "Learning internal representations
           by error propagation"): embed words
Command:   python -m experiments.prepare --dataset=sst2
           python -m experiments.train --config=configs/word_codes/sst2.py:codes
           python -m experiments.train --config=configs/word_codes/sst2.py:perceptron
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  :codes gives back nearly all words, test/accuracy above 0.99; :perceptron is near the
           share of the larger class, 0.5, as a code says which word it is and not what it means.
           :learned, whose codes learn, too, is the comparison. No result is claimed
Source:    Rumelhart, Hinton & Williams 1986, section "The encoding problem"; Ackley, Hinton &
           Sejnowski 1985, "A learning algorithm for Boltzmann machines"

N are the 7,204 words of the sentences that occur twice or more, with the four marks of a text, and
M is 16: 7,208-16-7,208. A word is one input that is on. The perceptron has one hidden layer, and
sees the mean code of a sentence.
"""

from ml_collections import ConfigDict

VARIANTS = ("codes", "perceptron", "learned")
WORDS = 7_208


def get_config(variant: str = "codes") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="sst2",
        train="train",
        test="test",
        batch_size=50,
        eval_batch_size=100,
        cache="device",
    )
    config.splits = dict(validation=dict(split="validation"))
    config.preprocess = [
        dict(name="select", keys=["text", "label"]),
        dict(name="tokenize", keys=["text"], tokenizer=dict(name="word", min_count=2)),
        dict(name="pad_series", length=56),
    ]
    config.optimizer = dict(name="adam", learning_rate=1e-2)
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="1 epoch"),
        test=dict(kind="metrics", every="100%"),
    )
    config.checkpoint = dict(every="1 epoch", best="validation/accuracy")
    config.log_every = "20 steps"
    config.seed = 0
    inputs = ["text", "text_mask"]
    if variant == "codes":
        config.model = dict(name="word_codes.word_autoencoder", num_classes=WORDS, width=16)
        config.task = dict(name="tagging", num_classes=WORDS, inputs=inputs, tags="text")
        config.total = "10 epochs"
        return config
    config.model = dict(name="word_codes.code_perceptron", width=16)
    config.task = dict(name="classification", inputs=inputs)
    config.init_from = dict(workdir="runs/word_codes-sst2-codes")
    config.total = "10 epochs"
    if variant == "perceptron":
        config.optimizer.frozen = ["^codes/"]
    return config
