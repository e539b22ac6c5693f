"""The configuration: one frozen value with every setting, its source and its description."""

from runwright.config.loading import ConfigError, load_settings
from runwright.config.setting_types import default_data_dir
from runwright.config.settings import FIELDS, Settings
from runwright.config.text import default_file, describe, shown_value

__all__ = [
    "FIELDS",
    "ConfigError",
    "Settings",
    "default_data_dir",
    "default_file",
    "describe",
    "load_settings",
    "shown_value",
]
