"""Does it help? Experiments, their outcomes and what may be said of them.

Belongs here: what an experiment is, who gets which arm, what is measured, and the statistics. Does not belong here:
where assignments are kept and what the gate refuses (``governance.experiment_records``), what is drafted
(``recommendations``).
"""
