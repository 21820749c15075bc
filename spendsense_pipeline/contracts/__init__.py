"""One Pandera contract per table: the check, the column docs and the data dictionary are read from here."""

from spendsense_pipeline.contracts.base import (
    Contract,
    FrameContract,
    absent,
    arrow_schema,
    columns,
    failures,
    holds_on_all,
    key,
    open_columns,
)
from spendsense_pipeline.contracts.canonical_tables import (
    Accounts,
    Liabilities,
    Products,
    QuarantinedRows,
    RawRows,
    Transactions,
    Users,
)
from spendsense_pipeline.contracts.evaluation_tables import EvaluationMetrics, SignalAccuracy
from spendsense_pipeline.contracts.experiment_tables import ExperimentOutcomes, Uplift
from spendsense_pipeline.contracts.feature_tables import Cards, Features, RecurringStreams
from spendsense_pipeline.contracts.insight_tables import BalanceForecast, Insights
from spendsense_pipeline.contracts.payee_tables import Payees
from spendsense_pipeline.contracts.persona_tables import PERSONAS, PersonaAssignments
from spendsense_pipeline.contracts.recommendation_tables import (
    DraftRecommendations,
    EducationTemplates,
    ProductMatches,
    Situations,
)

CONTRACTS: dict[str, Contract] = {
    "raw_users": RawRows,
    "raw_accounts": RawRows,
    "raw_transactions": RawRows,
    "raw_liabilities": RawRows,
    "raw_products": RawRows,
    "users": Users,
    "accounts": Accounts,
    "transactions": Transactions,
    "liabilities": Liabilities,
    "products": Products,
    "quarantined_rows": QuarantinedRows,
    "payees": Payees,
    "recurring_streams": RecurringStreams,
    "cards": Cards,
    "features_30d": Features,
    "features_180d": Features,
    "insights": Insights,
    "balance_forecast": BalanceForecast,
    "persona_assignments_30d": PersonaAssignments,
    "persona_assignments_180d": PersonaAssignments,
    "situations": Situations,
    "education_templates": EducationTemplates,
    "product_matches": ProductMatches,
    "draft_recommendations": DraftRecommendations,
    "evaluation_metrics": EvaluationMetrics,
    "signal_accuracy": SignalAccuracy,
    "experiment_outcomes": ExperimentOutcomes,
    "uplift": Uplift,
}

__all__ = [
    "CONTRACTS",
    "PERSONAS",
    "Contract",
    "FrameContract",
    "absent",
    "arrow_schema",
    "columns",
    "failures",
    "holds_on_all",
    "key",
    "open_columns",
]
