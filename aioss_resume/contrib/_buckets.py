"""BucketConfig: the location of a bucket and the name of its credentials provider, without the keys themselves."""

import importlib
import os
from dataclasses import dataclass
from typing import Any, Final

import oss2
from oss2 import credentials

from aioss_resume.errors import ConfigError

_ENVIRONMENT: Final = "environment"
_ANONYMOUS: Final = "anonymous"


@dataclass(frozen=True, slots=True)
class BucketConfig:
    """Describes how a process opens a bucket. It contains no secrets, so it may be pickled, logged and shown.

    Args:
        endpoint: As for oss2.Bucket; None to use OSS_ENDPOINT in the environment of the process that opens it.
        bucket: The bucket's name.
        region: The bucket's region; None to use OSS_REGION.
        provider: The name of the credentials provider: "environment" (OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and
            OSS_SESSION_TOKEN of the process that opens the bucket), "anonymous", or "module:name" of a callable without
            arguments that returns a provider of credentials, as oss2.ProviderAuthV4 takes it.

    Raises:
        ConfigError: An argument is invalid, for example because it contains keys.
    """

    endpoint: str | None
    bucket: str
    region: str | None = None
    provider: str = _ENVIRONMENT

    def __post_init__(self) -> None:
        for name in ("endpoint", "bucket", "region", "provider"):
            value = getattr(self, name)
            if not isinstance(value, str) and (value is not None or name in ("bucket", "provider")):
                raise ConfigError(
                    f"BucketConfig: {name} must be a string, not {type(value).__name__}",
                    hint="it travels to other processes, so it has names, and no objects that hold keys",
                )
        if "/" in self.bucket:
            raise ConfigError(
                "BucketConfig: bucket must be a name, not an address",
                hint="the endpoint comes first, then the bucket, as for oss2.Bucket",
            )
        if self.provider not in (_ENVIRONMENT, _ANONYMOUS) and not _is_reference(self.provider):
            raise ConfigError(
                'BucketConfig: provider must be "environment", "anonymous" or "module:name"',
                hint="it is the name of a provider, and no access key",
            )
        if "@" in (self.endpoint or ""):
            raise ConfigError("BucketConfig: endpoint must have no user and no password")

    def open(self) -> Any:  # Any: oss2 has no types
        """Make the oss2.Bucket with the keys of this process.

        Raises:
            ConfigError: A variable is missing in the environment, or the provider cannot be created.
        """
        endpoint = self.endpoint or _from_environment("OSS_ENDPOINT", "endpoint")
        region = self.region or _from_environment("OSS_REGION", "region")
        auth = oss2.AnonymousAuth() if self.provider == _ANONYMOUS else oss2.ProviderAuthV4(self._provider())
        try:
            return oss2.Bucket(auth, endpoint, self.bucket, region=region)
        except oss2.exceptions.ClientError as error:
            problem = str(error.body)
        raise ConfigError(f"BucketConfig: oss2 takes no bucket {self.bucket!r} at {endpoint!r}: {problem}")

    def _provider(self) -> Any:  # Any: as open()
        if self.provider == _ENVIRONMENT:
            for name in ("OSS_ACCESS_KEY_ID", "OSS_ACCESS_KEY_SECRET"):
                _from_environment(name, "keys")
            return credentials.EnvironmentVariableCredentialsProvider()
        module, _, name = self.provider.partition(":")
        try:
            return getattr(importlib.import_module(module), name)()
        except Exception as error:  # noqa: BLE001  # a stranger's code; what it raises may hold anything
            problem = f"BucketConfig: provider {self.provider!r} could not be made: {type(error).__name__}"
        raise ConfigError(problem, hint="it must be importable in each process that uses it")


def _is_reference(provider: str) -> bool:
    module, colon, name = provider.partition(":")
    return bool(colon) and all(part.isidentifier() for part in [*module.split("."), name])


def _from_environment(variable: str, what: str) -> str:
    value = os.environ.get(variable)
    if not value:
        raise ConfigError(
            f"there is no {what} for the bucket: {variable} is not set in this process",
            hint="set it there, or name another provider" if what == "keys" else f"set it, or pass {what}=",
        )
    return value
