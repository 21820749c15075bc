"""Customers as raw bank exports show them: descriptors, no categories, three countries, several banks each."""

from spendsense_pipeline.synthetic.raw.country import COUNTRIES
from spendsense_pipeline.synthetic.raw.raw_customers import EVIDENCE, generate_raw

__all__ = ["COUNTRIES", "EVIDENCE", "generate_raw"]
