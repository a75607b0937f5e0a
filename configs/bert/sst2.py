"""BERT that tells positive from negative sentences of film reviews (SST-2).

System:    BERT (Devlin et al. 2019, arXiv 1810.04805, "BERT: Pre-training of deep bidirectional
           transformers for language understanding"): embed text
Command:   python -m experiments.train --config=configs/bert/wikitext2.py:tiny
           python -m experiments.prepare --dataset=sst2
           python -m experiments.train --config=configs/bert/sst2.py:tiny
           python -m experiments.train --config=configs/bert/sst2.py:scratch
Hardware:  two CPU cores, an estimated ten minutes; not run here
Expected:  no result is claimed: published results start from weights that learned from 3,300
           million words. BERT-Tiny reaches 83.2 % and BERT-Base 93.5 % so, on phrases, too
Source:    Devlin et al. 2019, section 4.1 and appendix A.3: a dense layer on the first token, 3
           epochs, a rate that falls to 0; Turc et al. 2019, arXiv 1908.08962, table 6, for the tiny
           model: 4 epochs, rates from 3e-5 to 3e-4

`--config.init_from.workdir` is the run in pre-training, whose tokenizer this run takes. :scratch
has the same network and tokenizer without its params, and trains longer. :published starts from
published weights, after

    python -m experiments.zoo import bert --weights=~/bert-base-uncased --workdir=runs/bert
"""

from ml_collections import ConfigDict

# Model, the run that it starts from or whose tokenizer it takes, epochs, peak rate.
VARIANTS = {
    "tiny": ("bert.classifier_tiny", "runs/bert-wikitext2-tiny", 6, 3e-4),
    "scratch": ("bert.classifier_tiny", "runs/bert-wikitext2-tiny", 12, 3e-4),
    "small": ("bert.classifier_small", "runs/bert-wikitext2-small", 4, 1e-4),
    "base": ("bert.classifier_base", "runs/bert-wikitext2-base", 3, 2e-5),
    "published": ("bert.classifier_base", "runs/bert", 3, 2e-5),
}


def get_config(variant: str = "tiny") -> ConfigDict:
    model, workdir, epochs, rate = VARIANTS[variant]
    config = ConfigDict()
    config.dataset = dict(
        name="sst2", train="train", test="test", batch_size=32, eval_batch_size=200
    )
    config.splits = dict(validation=dict(split="validation"))
    config.preprocess = [
        dict(name="select", keys=["text", "label"]),
        dict(
            name="marked_text",
            keys=["text"],
            tokenizer=dict(name="of_run", workdir=workdir),
            length=80,
        ),
    ]
    config.model = dict(name=model, context=512 if variant == "published" else 128)
    config.task = dict(name="classification", inputs=["text", "text_mask", "text_types"])
    config.optimizer = dict(
        name="adamw",
        learning_rate=rate,
        weight_decay=0.01,
        clip=dict(global_norm=1.0),
        schedule=dict(name="linear", warmup="10%"),
    )
    if variant != "scratch":
        config.init_from = dict(workdir=workdir)
    config.total = f"{epochs} epochs"
    config.evaluate = dict(
        validation=dict(kind="metrics", split="validation", every="1 epoch"),
        test=dict(kind="metrics", every="100%"),
    )
    config.checkpoint = dict(every="1 epoch", best="validation/accuracy")
    config.log_every = "5%"
    config.seed = 0
    return config
