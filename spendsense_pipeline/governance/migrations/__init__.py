"""The schema's history, forward from the first version; ``database.upgrade`` walks it."""
