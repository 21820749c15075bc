"""Spark as the engine of transaction-sized tables, where one machine is outgrown.

The expressions are those that DuckDB runs. What is here is a session, and the sentences of Ibis that Spark would
understand otherwise: each is turned into one that means on Spark what it means on DuckDB. What does not belong here:
anything about a table; where tables lie (``warehouse.py``).
"""

from typing import Any

import ibis
import ibis.expr.operations as ops
import pyspark
import sqlglot.expressions as sge
from ibis.backends.pyspark import Backend
from ibis.backends.sql.compilers.pyspark import PySparkCompiler
from pyspark.errors import PySparkRuntimeError
from pyspark.sql import DataFrame, SparkSession

from spendsense_pipeline.errors import SpendSenseError

# Letters whose other case is several letters, or depends on the place in the word, stay one letter on DuckDB. `ß` is
# `SS` to Spark and `ẞ` to DuckDB: while Spark raises a text, such letters are away, each under a private character.
LOWERED = ("İΣ", "iσ")
GROWING = "".join(letter for letter in map(chr, range(0x80, 0x10000)) if len(letter.upper()) > 1)
AWAY = "".join(chr(0xF0000 + place) for place in range(len(GROWING)))
RAISED = "".join("ẞ" if letter == "ß" else letter.title() if len(letter.title()) == 1 else letter for letter in GROWING)


class SparkUnavailable(SpendSenseError):
    """No session could be opened; the message says what is missing."""

    code = "spark_unavailable"


class Compiler(PySparkCompiler):
    """Ibis' Spark SQL, held to what DuckDB answers."""

    __slots__ = ()

    def visit_NonNullLiteral(self, op: ops.Literal, *, value: Any, dtype: Any) -> Any:  # noqa: N802
        """Spark reads ``1.03`` as a decimal, dividing with as many places as that has, and ``30`` as 32 bits."""
        said = super().visit_NonNullLiteral(op, value=value, dtype=dtype)
        typed = dtype.is_floating() or dtype.is_int64()
        return self.cast(value if said is None else said, dtype) if typed else said

    def visit_Round(self, op: ops.Round, *, arg: Any, digits: Any) -> Any:  # noqa: N802
        """Half a cent is judged on the binary number, as DuckDB does; Spark would judge its shortest decimal."""
        places = int(digits.name) if isinstance(digits, sge.Literal) else 0
        rounded = self.f.round(arg * 10**places) / 10**places if places else self.f.round(arg)
        return self.cast(rounded, op.dtype)

    def visit_Strip(self, op: ops.Strip, *, arg: Any) -> Any:  # noqa: N802, ARG002
        r"""Spark takes Ibis' ``\v`` and ``\f`` for the letters v and f and cuts them off `Venmo`."""
        return self.f.btrim(arg, " \t\n\r")

    def visit_Lowercase(self, op: ops.Lowercase, *, arg: Any) -> Any:  # noqa: N802, ARG002
        """A letter is lowered by itself, whatever follows it."""
        return self.f.lower(self.f.translate(arg, *LOWERED))

    def visit_Uppercase(self, op: ops.Uppercase, *, arg: Any) -> Any:  # noqa: N802, ARG002
        """A letter raised stays one letter."""
        return self.f.translate(self.f.upper(self.f.translate(arg, GROWING, AWAY)), AWAY, RAISED)

    def visit_Capitalize(self, op: ops.Capitalize, *, arg: Any) -> Any:  # noqa: N802
        """As ``upper`` of the first letter and ``lower`` of the others, each by the rules above."""
        first, others = self.f.left(arg, 1), self.f.substring(arg, 2)
        return self.f.concat(self.visit_Uppercase(op, arg=first), self.visit_Lowercase(op, arg=others))

    def visit_Median(self, op: ops.Median, *, arg: Any, where: Any) -> Any:  # noqa: N802, ARG002
        """With a condition, Ibis would make the 0.5 conditional too."""
        return self.f.percentile(arg if where is None else self.if_(where, arg, sge.Null()), 0.5)


class Engine(Backend):
    """Spark for Ibis, where ``cache`` computes the table and forgets how: Spark would plan the whole way again."""

    compiler = Compiler()

    def _create_cached_table(self, name: str, expr: ibis.Table) -> ibis.Table:
        self._run_pre_execute_hooks(expr)
        planned = self._session.sql(self.compile(expr))
        # Where the cluster has a checkpoint directory a lost executor loses nothing; without one it fails the run.
        reliable = self._session.conf.get("spark.checkpoint.dir", None) is not None
        computed: DataFrame = planned.checkpoint() if reliable else planned.localCheckpoint()
        computed.createTempView(name)
        self._cached_dataframes[name] = computed
        return self.table(name)

    def _drop_cached_table(self, name: str) -> None:
        self._session.catalog.dropTempView(name)
        self._cached_dataframes.pop(name).unpersist()


def connect(master: str, **configuration: str) -> ibis.BaseBackend:
    """A Spark session on the master given, or the one that is open, times in UTC.

    Raises ``SparkUnavailable`` where Java is missing.

    >>> connect("local[2]", **{"spark.sql.shuffle.partitions": "2"})
    """
    builder = SparkSession.builder.appName("SpendSense").master(master)
    quiet = {
        "spark.log.level": "ERROR",
        "spark.ui.showConsoleProgress": "false",
        # A plan of ours as text is megabytes, and Spark writes it down for every query.
        "spark.sql.maxPlanStringLength": "10000",
    }
    if master.startswith("local"):
        # On one machine nobody else has to reach it.
        quiet |= {
            "spark.ui.enabled": "false",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "localhost",
        }
    for name, value in {**quiet, **configuration}.items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise SparkUnavailable(
            f"Spark {pyspark.__version__} did not start; it needs Java 17 or later, as `java` or by JAVA_HOME: {error}"
        ) from error
    # Fusing selects costs planning time and saves the engine nothing, as on DuckDB.
    ibis.options.sql.fuse_selects = False
    _ = ibis.pyspark  # registers the options that the compiler reads
    return Engine().connect(session)
