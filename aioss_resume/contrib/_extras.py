"""Import of optional packages."""

import importlib
from types import ModuleType

from aioss_resume.errors import ConfigError


def extra(module: str, name: str) -> ModuleType:
    """Import a package of an extra.

    Raises:
        ConfigError: It is not installed; the hint names the extra.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        pass
    raise ConfigError(f"{module} is not installed", hint=f"pip install 'aioss-resume[{name}]'")
