"""Which persona a customer has, and why: the rules as a table, and their application."""
