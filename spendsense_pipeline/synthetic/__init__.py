"""Synthetic customers with planted, labelled behaviour, as a landing batch.

It shares nothing with the rooms that detect and judge: no threshold, no word list, no code.
"""

from spendsense_pipeline.synthetic.batch_files import write
from spendsense_pipeline.synthetic.generate import Synthetic, generate
from spendsense_pipeline.synthetic.raw import generate_raw

__all__ = ["Synthetic", "generate", "generate_raw", "write"]
