"""Settings of the process around the calls of plugins that score (see ``plugin_api``)."""

from tgdpo_core.plugin_api.process_state import Moved as Moved
from tgdpo_core.plugin_api.process_state import require_kept as require_kept
from tgdpo_core.plugin_api.process_state import settings_kept as settings_kept
from tgdpo_core.plugin_api.process_state import settings_kept_by as settings_kept_by
