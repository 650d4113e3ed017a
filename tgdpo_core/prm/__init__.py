"""Training of dense reward models: token classifiers that judge the steps of a response.

Importing it loads no torch.
"""

from tgdpo_core.prm.classifier import make_classifier as make_classifier
from tgdpo_core.prm.classifier import soft_cross_entropy as soft_cross_entropy
from tgdpo_core.prm.fitting import IGNORED as IGNORED
from tgdpo_core.prm.fitting import fit as fit
from tgdpo_core.prm.layout import piecewise as piecewise
from tgdpo_core.prm.record import is_done as is_done
from tgdpo_core.prm.record import write_record as write_record
