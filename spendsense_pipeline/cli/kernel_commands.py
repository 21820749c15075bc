"""The kernels of the signals, compiled ahead of the first large run."""

import sys
import time

from spendsense_pipeline.cli.frame import app
from spendsense_pipeline.cli.output import Shown, wants_json
from spendsense_pipeline.settings import Settings


@app.command("compile")
def compile_kernels() -> Shown:
    """Compile the kernels of the signals ahead: once per version, or the first large run does it (half a minute).

    They are kept in $SPENDSENSE_KERNELS, by default `kernels` in the data folder.

    With --json: {path, version, compiled, seconds}; compiled is false where they were there already.
    """
    from spendsense_pipeline.features import compilation, compiled

    def report(message: str) -> None:
        if not wants_json():
            sys.stderr.write(f"{message}\n")

    folder, started = Settings().kernels_folder, time.monotonic()
    ready = compiled.ready(folder) is not None
    compilation.make_ready(folder, report)
    payload = {
        "path": str(folder),
        "version": compiled.version(),
        "compiled": not ready,
        "seconds": round(time.monotonic() - started, 1),
    }
    done = "were there already" if ready else f"compiled in {payload['seconds']:.0f} s"
    return Shown(payload, [f"kernels of version {payload['version']} {done}, in {folder}"])
