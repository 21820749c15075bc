"""What the stored catalogue says at this moment, for those who ask without a day: the gate.

What does not belong here: whom a product suits (``offers.py``).
"""


def withdrawn_products(root: str) -> frozenset[str]:
    """Ids of the products that are not offered any more; none where no catalogue is stored.

    ``root`` is the warehouse. Like ``offers.product_matches``, a product that does not say it is active is not.
    """
    from spendsense_pipeline import warehouse  # only those who have an offer to judge wait for it

    try:
        rows = warehouse.load(root, "products").select(["product_id", "active"]).to_pylist()
    except warehouse.NotMaterialized:
        return frozenset()
    return frozenset(row["product_id"] for row in rows if not row["active"])
