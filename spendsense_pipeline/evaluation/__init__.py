"""How good the day was, and who may see it: metrics, the operators' page, the export for analysts."""
