"""What the keys of the store are made of; models are named in ``tgdpo_core.models``."""

from tgdpo_core.models.fingerprints import canonical_hash as canonical_hash
from tgdpo_core.models.fingerprints import loaded_model_fingerprint as loaded_model_fingerprint
from tgdpo_core.models.fingerprints import model_fingerprint as model_fingerprint
from tgdpo_core.models.fingerprints import tokenizer_fingerprint as tokenizer_fingerprint
from tgdpo_core.models.fingerprints import vocabulary_fingerprint as vocabulary_fingerprint
from tgdpo_core.models.paths import resolve_model_path as resolve_model_path
