"""A Spark context, where one machine is outgrown: it hands out ranges of customers, and nothing else.

What does not belong here: what is computed (``features/by_range.py``), and where tables lie (``warehouse.py``).
"""

import sys

import pyspark
from pyspark import SparkConf, SparkContext
from pyspark.errors import PySparkRuntimeError

from spendsense_pipeline.errors import SpendSenseError


class SparkUnavailable(SpendSenseError):
    """No context could be opened; the message says what is missing."""

    code = "spark_unavailable"


def context(master: str) -> SparkContext:
    """A Spark context on the master given, or the one that is open.

    Raises ``SparkUnavailable`` where Java is missing.

    >>> context("local[2]").defaultParallelism
    """
    chosen = {"spark.log.level": "ERROR", "spark.ui.showConsoleProgress": "false"}
    on_this_machine = master.startswith("local")
    if on_this_machine:
        chosen |= {
            # Nobody else has to reach it.
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "localhost",
            # The JVM only hands out tasks: compiling itself well costs it more than half of its processor time.
            "spark.driver.defaultJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        }
    conf = SparkConf().setAppName("SpendSense").setMaster(master).setAll(list(chosen.items()))
    try:
        opened = SparkContext.getOrCreate(conf)
    except PySparkRuntimeError as error:
        raise SparkUnavailable(
            f"Spark {pyspark.__version__} did not start; it needs Java 17 or later, as `java` or by JAVA_HOME: {error}"
        ) from error
    if on_this_machine:
        opened.pythonExec = sys.executable  # else whatever `python3` is, which may lack our packages
    return opened
