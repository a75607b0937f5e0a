"""GPT-2 (124 million params) with its published vocabulary, by nanoGPT's recipe.

System:    GPT (Radford et al. 2019, "Language models are unsupervised multitask learners"): write
           text
Command:   python -m experiments.train --config=configs/gpt/gpt2.py \\
             --config.dataset.data_dir=~/openwebtext
Hardware:  eight GPUs of 40 GB; 20 GB of disk for the tokens of OpenWebText
Expected:  on OpenWebText, which is not available here, nanoGPT reports 2.85 nats per token after
           the 600,000 steps, 4 days on eight A100
Source:    Radford et al. 2019, "Language models are unsupervised multitask learners"; Karpathy,
           nanoGPT, config/train_gpt2.py, for the optimization, and model.py: no biases, exact GELU.

The folder holds text files, see "text" in library/data/sources.py. Losses of different texts can be
compared, because the vocabulary is not learned from them: put GPT-2's `vocab.json` and `merges.txt`
at ~/gpt2. Each file is a document. A file that has several separates them by "<|endoftext|>", a
token of this vocabulary. The tokens are encoded once, at the first start or by --dry_run; those of
OpenWebText need COMPENDIUM_CACHE_GB=25.

configs/gpt/text.py, whose former path is configs/text/gpt2.py, is the same with a vocabulary that
is learned from the text.

Two things differ from nanoGPT: windows are shuffled instead of drawn with replacement, and the test
loss counts each token of the test split once, instead of 200 random batches.
"""

from ml_collections import ConfigDict

from library import presets

# A window has 1024 tokens, so a step has nanoGPT's half a million.
BATCH_SIZE, ACCUMULATE = 480, 5


def get_config(variant: str = "") -> ConfigDict:
    config = presets.text(
        "text",
        every="1%",
        samples_every="5%",
        data_dir="~/openwebtext",
        tokenizer=dict(name="gpt2", vocab="~/gpt2/vocab.json", merges="~/gpt2/merges.txt"),
        context=1024,
        batch_size=BATCH_SIZE,
        eval_batch_size=BATCH_SIZE // ACCUMULATE,
    )
    config.model = presets.nanogpt_model(width=768, depth=12, num_heads=12, context=1024)
    # A twelfth of the vocabulary: temporary memory is a tenth of that for all logits.
    config.task = dict(name="language", chunk=4096)
    schedule = dict(name="cosine", warmup="2_000 steps", final=0.1)
    config.optimizer = presets.nanogpt_adamw(6e-4, schedule, decayed=presets.MATRICES)
    config.total = "600_000 steps"
    config.accumulate = ACCUMULATE
    config.log_every = "10 steps"
    return config
