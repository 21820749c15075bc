"""An experiment as its file says it: read, refused where it cannot be run, and bound by a hash of what it says.

Belongs here: the file's fields and what they must be, and what experiments can measure (``metrics.toml``). Does not
belong here: whether it was registered before and who was assigned (``governance.experiment_records``).
"""

import hashlib
import json
import tomllib
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from spendsense_pipeline.errors import SpendSenseError
from spendsense_pipeline.insights.kinds import INSIGHTS


@dataclass(frozen=True)
class Metric:
    """One figure of a customer at a horizon; ``metrics.toml`` says what each field means.

    ``of_texts``: only customers who may see a text of the experiment can have it.
    """

    name: str
    label: str
    unit: Literal["money", "fraction", "months", "streams", "days"]
    how: Literal["sum", "level", "days", "cancelled", "event"]
    better: Literal["lower", "higher"]
    meaning: str
    column: str = ""
    divisor: str = ""
    baseline: str = ""
    of_texts: bool = False


METRICS: Final = {
    name: Metric(name=name, **said)
    for name, said in tomllib.loads(
        (files("spendsense_pipeline.experiments") / "metrics.toml").read_text(encoding="utf-8")
    ).items()
}
"""Metrics by name."""

HORIZONS = (30, 60, 90, 180)
"""Days after assignment at which outcomes are measured."""
Text = Annotated[str, Field(min_length=1)]


class InvalidExperiment(SpendSenseError):
    """An experiment's file cannot be used; nothing of it was started."""

    code = "invalid_experiment"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """What some customers get: a wording (``template``), what they would get anyway (neither), or nothing visible
    (``withheld``). ``weight`` is how many of each block of customers get it."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
    weight: Annotated[int, Field(ge=1, le=20)]
    template: Text | None = None
    withheld: bool = False

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.withheld and self.template:
            raise ValueError("an arm that is withheld shows no template")
        return self


class Experiment(_Strict):
    """A question to customers' later figures, and everything that was fixed before the first of them was assigned.

    ``insight`` is the kind of insight that it is about; without, all education that is not urgent. ``control`` names
    the arm that the others are compared with. ``minimum_size`` is customers an arm with an outcome, below which no
    figure is shown. ``enrolment_days`` after its first customer nobody enters any more. ``stop_rule``: ``horizon``
    refuses a look before everybody's horizon has passed, ``always_valid`` allows any number of looks at wider
    intervals.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{2,59}$")]
    hypothesis: Text
    unit: Literal["customer"]
    insight: str | None = None
    metric: str
    horizon: int
    seed: Annotated[int, Field(ge=0)]
    enrolment_days: Annotated[int, Field(ge=1, le=365)]
    control: str
    minimum_size: Annotated[int, Field(ge=30)]
    stop_rule: Literal["horizon", "always_valid"]
    arms: Annotated[tuple[Arm, ...], Field(min_length=2, max_length=6)]

    @model_validator(mode="after")
    def _runnable(self) -> Self:
        names = [arm.name for arm in self.arms]
        if len(set(names)) < len(names):
            raise ValueError("two arms have the same name")
        if self.control not in names:
            raise ValueError(f"control is {self.control!r}; the arms are {', '.join(names)}")
        if self.metric not in METRICS:
            raise ValueError(f"metric is {self.metric!r}; there are {', '.join(METRICS)}")
        if self.horizon not in HORIZONS:
            raise ValueError(f"horizon is {self.horizon}; outcomes are measured at {HORIZONS} days")
        templates = [arm.template for arm in self.arms if arm.template]
        if len(set(templates)) < len(templates):
            raise ValueError("two arms have the same template")
        if self.insight is not None and self.insight not in INSIGHTS:
            raise ValueError(f"insight is {self.insight!r}, which is none; docs/insights.md lists them")
        if templates and self.insight is None:
            raise ValueError("arms with a template need the insight that the templates are of")
        if any(arm.withheld for arm in self.arms):
            if self.insight is not None and INSIGHTS[self.insight].severity == "urgent":
                raise ValueError(f"{self.insight} is urgent, and what is urgent is withheld from nobody")
            if METRICS[self.metric].of_texts:
                raise ValueError(f"{self.metric} cannot be compared with an arm that sees nothing")
        return self

    @cached_property
    def canonical(self) -> str:
        """What the file says, as JSON in one spelling: comments and order of lines do not count."""
        return json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False, separators=(",", ":"))

    @cached_property
    def hash(self) -> str:
        """SHA-256 of ``canonical``; assignments are bound to it."""
        return hashlib.sha256(self.canonical.encode()).hexdigest()

    def arm(self, name: str) -> Arm:
        """The arm of this name."""
        return next(arm for arm in self.arms if arm.name == name)

    @property
    def planned(self) -> int:
        """Customers in one comparison at the planned size."""
        return 2 * self.minimum_size


def parse(text: str, where: str) -> Experiment:
    """An experiment from TOML; raises ``InvalidExperiment`` naming file, field and what would be right."""
    try:
        return Experiment.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise InvalidExperiment(f"{where} is no TOML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc']) or 'experiment'}: {fault['msg']}"
            for fault in error.errors()
        )
        raise InvalidExperiment(f"{where}: {faults}") from error


def experiments_in(folder: Path) -> list[Experiment]:
    """Every experiment of a folder's ``*.toml``, by file name; none where there is no folder.

    Raises ``InvalidExperiment`` where one cannot be read, two share a name, or two withhold or word the same thing.
    """
    found: dict[str, Experiment] = {}
    for path in sorted(folder.glob("*.toml")):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidExperiment(f"{path} cannot be read as text: {error}") from error
        experiment = parse(text, str(path))
        if experiment.name in found:
            raise InvalidExperiment(f"{path}: another file holds an experiment named {experiment.name!r}")
        found[experiment.name] = experiment
    return list(found.values())


def of_record(definition: str) -> Experiment:
    """The experiment as it was registered."""
    stored: dict[str, Any] = json.loads(definition)
    return Experiment.model_validate(stored)
