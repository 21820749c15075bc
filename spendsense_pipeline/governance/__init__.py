"""Consent, review, release and audit: everything that says whether a customer may see a text.

Belongs here: the governance database, its rules and what can be read back from it. Does not belong here: how a
text comes to be (``recommendations``), how Dagster or the command line call it (``defs``, ``cli``).
"""
