"""A Spark session, where one machine is outgrown: it hands out ranges of customers, and nothing else.

What does not belong here: what is computed (``features/by_range.py``), and where tables lie (``warehouse.py``).
"""

import sys

import pyspark
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import SparkSession

from spendsense_pipeline.errors import SpendSenseError


class SparkUnavailable(SpendSenseError):
    """No session could be opened; the message says what is missing."""

    code = "spark_unavailable"


def session(master: str) -> SparkSession:
    """A Spark session on the master given, or the one that is open.

    Raises ``SparkUnavailable`` where Java is missing.

    >>> session("local[2]").sparkContext.defaultParallelism
    """
    builder = SparkSession.builder.appName("SpendSense").master(master)
    quiet = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
    on_this_machine = master.startswith("local")
    if on_this_machine:
        # Nobody else has to reach it.
        quiet |= {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "localhost",
        }
    for name, value in quiet.items():
        builder = builder.config(name, value)
    try:
        opened = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SparkUnavailable(
            f"Spark {pyspark.__version__} did not start; it needs Java 17 or later, as `java` or by JAVA_HOME: {error}"
        ) from error
    if on_this_machine:
        opened.sparkContext.pythonExec = sys.executable  # else whatever `python3` is, which may lack our packages
    return opened
