"""What a quality department asks of an inspection: studies, charts and capabilities.

Pure functions of arrays and text: gauge studies (`read_study`, `gauge_study`), attribute
agreement (`read_judgements`, `attribute_study`), control charts (`individuals`, `xbar_r`),
`capability`, `pareto` and the `challenge` of each shift.
"""

from .attribute import AttributeStudy, attribute_study, cohen_kappa, fleiss_kappa
from .capability import Capability, capability, normality
from .challenge import ChallengeResult, challenge
from .control import Chart, ControlCharts, individuals, xbar_r
from .gauge import GaugeStudy, gauge_study
from .intervals import Rate, clopper_pearson, wilson
from .pareto import Reason, pareto
from .rules import RULES, Signal, signals
from .tables import Judgements, Study, read_judgements, read_study

__all__ = [
    "RULES",
    "AttributeStudy",
    "Capability",
    "ChallengeResult",
    "Chart",
    "ControlCharts",
    "GaugeStudy",
    "Judgements",
    "Rate",
    "Reason",
    "Signal",
    "Study",
    "attribute_study",
    "capability",
    "challenge",
    "clopper_pearson",
    "cohen_kappa",
    "fleiss_kappa",
    "gauge_study",
    "individuals",
    "normality",
    "pareto",
    "read_judgements",
    "read_study",
    "signals",
    "wilson",
    "xbar_r",
]
