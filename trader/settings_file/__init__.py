"""The configuration file: read, judged, shown, compared.

Rules: nothing is guessed and nothing half-valid is returned, it is either the settings or every problem with
its line, its key and what to do. A relative path means "beside the configuration file", whatever folder the
process runs in. Secrets are in files of their own and are never printed.
"""

from trader.settings_file.effective import config_hash, effective_settings, reload_difference
from trader.settings_file.problems import ConfigurationError, Problem
from trader.settings_file.reader import load_settings
from trader.settings_file.reference import reference
from trader.settings_file.secrets import CredentialUnseen, SecretError, credential_file, read_secret

__all__ = [
    "ConfigurationError",
    "CredentialUnseen",
    "Problem",
    "SecretError",
    "config_hash",
    "credential_file",
    "effective_settings",
    "load_settings",
    "read_secret",
    "reference",
    "reload_difference",
]
