"""Published vectors of 20,000 English words as a run: a reference for vectors that are learnt here.

System:    GloVe (Pennington, Socher & Manning 2014, "GloVe: Global vectors for word
           representation"): embed words
Command:   python -m experiments.prepare --dataset=glove50
           python -m experiments.train --config=configs/glove/glove50.py --workdir=runs/glove50
Hardware:  one CPU core, half a minute
Expected:  of the 950 analogies below, 0.77 hold among the 20,000 words. No result is claimed: the
           paper's test has 19,544 analogies, and 400,000 words to choose from
Source:    Pennington et al. 2014; the test is made as that of Mikolov et al. 2013 (arXiv
           1301.3781)

Nothing is learnt: a step writes the vectors of its batch into a table. Evaluators then measure the
vectors as they measure those of configs/word2vec, and the report shows words in the plane. Text
networks start from the run: configs/text_cnn/sst2.py:static.
"""

from ml_collections import ConfigDict

# Pairs of a relation; each makes an analogy with every other pair of its line.
RELATIONS = {
    "capitals": (
        "athens greece, berlin germany, cairo egypt, london england, madrid spain, moscow russia, "
        "paris france, rome italy, tokyo japan, vienna austria, warsaw poland, lisbon portugal, "
        "dublin ireland, beijing china, ottawa canada, stockholm sweden"
    ),
    "nationalities": (
        "france french, germany german, spain spanish, italy italian, china chinese, "
        "japan japanese, poland polish, russia russian, sweden swedish, turkey turkish, "
        "greece greek, ireland irish, brazil brazilian, mexico mexican"
    ),
    "family": (
        "man woman, king queen, boy girl, father mother, son daughter, brother sister, "
        "husband wife, uncle aunt, nephew niece, grandson granddaughter, prince princess, he she"
    ),
    "plurals": (
        "car cars, dog dogs, bird birds, cat cats, hand hands, eye eyes, horse horses, "
        "machine machines, road roads, woman women, child children, man men"
    ),
    "past": (
        "going went, playing played, running ran, saying said, walking walked, taking took, "
        "writing wrote, falling fell, selling sold, thinking thought, flying flew, looking looked"
    ),
    "comparatives": (
        "bad worse, big bigger, bright brighter, cheap cheaper, easy easier, fast faster, "
        "good better, great greater, high higher, large larger, long longer, strong stronger"
    ),
}
ON_THE_MAP = (
    "dog cat horse cow sheep lion tiger bear wolf rabbit mouse elephant monkey snake bird fish "
    "france germany spain italy china japan russia india brazil canada mexico egypt turkey sweden "
    "poland greece one two three four five six seven eight nine ten hundred thousand red green "
    "blue yellow white black brown pink orange purple grey father mother son daughter brother "
    "sister husband wife uncle aunt grandfather grandmother football basketball tennis baseball "
    "hockey golf soccer rugby swimming boxing film movie actor actress director comedy drama scene "
    "plot audience happy sad angry afraid proud surprised beautiful ugly good bad great terrible "
    "boring funny"
)
ASKED = "film king france monday three terrible guitar computer"


def get_config(variant: str = "") -> ConfigDict:
    config = ConfigDict()
    config.dataset = dict(
        name="glove50", train="train", test="train", batch_size=1000, eval_batch_size=1000
    )
    config.preprocess = [
        dict(name="select", keys=["text", "vector"]),
        dict(name="tokenize", keys=["text"], tokenizer=dict(name="word")),
        # The word, and the end of the text.
        dict(name="pad_series", length=2, crop="start"),
    ]
    config.model = dict(name="word_table", width=50)
    config.task = dict(name="given_vectors")
    # The table is that of the whole set after one epoch.
    config.total = "1 epoch"
    relations = {name: pairs.split(", ") for name, pairs in RELATIONS.items()}
    config.evaluate = dict(
        test=dict(kind="metrics", every="100%"),
        words=dict(
            kind="word_neighbours",
            words=ASKED.split(),
            relations=relations,
            feature="text",
            every="100%",
        ),
        map=dict(kind="word_map", words=ON_THE_MAP.split(), feature="text", every="100%"),
    )
    config.checkpoint = dict(every="100%")
    config.log_every = "5 steps"
    config.seed = 0
    return config
