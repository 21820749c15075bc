"""What an erasure is: one customer leaves every file, table, export, page and row, and nothing brings them back.

``everywhere`` has the order and what remains, ``erased`` who was erased and whose a row is, and the others what a
landed file (``erased_files``), a stored table (``erased_tables``) and the database (``erased_rows``) lose. Does not
belong here: waiting for runs (``defs.erase_run``), legal holds and the refusal to write about somebody who was erased
(``governance``).
"""
