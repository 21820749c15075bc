"""How good the day was, and who may see it: metrics, the record of a day, the export for analysts."""
