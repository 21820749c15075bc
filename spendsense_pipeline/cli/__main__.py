"""``python -m spendsense_pipeline.cli``: the command where no script was installed."""

from spendsense_pipeline.cli import main

main()
