"""MMMU-Pro: expert questions from six disciplines with ten options; two versions of 1,730 rows each.

``vision``: the question stands in the image. ``standard``: the question is text, with images at their
``<image N>``. The headline is over both, as the authors report it; each version and subject is a subset.
"""

from evalkit.benchmark import Benchmark
from evalkit.scoring.choices import strict_choice
from evalkit.scoring.mmmu_pro_official import official_mmmu_pro
from evalkit.scoring.result import Scorer

BENCHMARK = Benchmark(
    name="mmmu-pro",
    description="Multi-discipline multiple choice with ten options, vision and standard (3,460 questions).",
    prompt="vlm/mmmu-pro",
    scorers={"strict": Scorer(strict_choice, version=1), "official": Scorer(official_mmmu_pro, version=1)},
    defaults={"inference": {"tokens_to_generate": 16384}},
)
