"""Where objects are and which credentials are used: addresses, the environment, configuration files of other tools."""

import configparser
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from aioss_resume.errors import ConfigError, CredentialsError

_OSS: Final = re.compile(r"oss://([a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_REGION: Final = re.compile(r"(?:https?://)?(?:[a-z0-9-]+\.)?oss-([a-z]{2}-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com.*")
_KEY_ID: Final = ("OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID")
_KEY_SECRET: Final = ("OSS_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
_TOKEN: Final = ("OSS_SESSION_TOKEN", "ALIBABA_CLOUD_SECURITY_TOKEN")


@dataclass(frozen=True, slots=True)
class Address:
    """An object, or a prefix, of a bucket."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"oss://{self.bucket}/{self.key}"


@dataclass(slots=True)
class Place:
    """The endpoint, region and keys that were found. The repr shows no keys.

    Attributes:
        source: A description of where the keys come from; "" if there are none.
    """

    endpoint: str | None = None
    region: str | None = None
    source: str = ""
    keys: "tuple[str, str, str | None] | None" = None

    def __repr__(self) -> str:
        return f"Place({self.endpoint!r}, {self.region!r}, keys from {self.source or 'nowhere'})"


def is_url(text: str) -> bool:
    """Whether the text is a presigned or public address."""
    return text.startswith(("http://", "https://"))


def parse_address(text: str, *, needs_key: bool = True) -> Address:
    """Parse the address of an object.

    Raises:
        ConfigError: The text is not an address.
    """
    found = _OSS.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no address of OSS", hint="write oss://BUCKET/KEY, or an http(s) address")
    if needs_key and not found[2]:
        raise ConfigError(f"{text!r} names a bucket and no object", hint="write oss://BUCKET/KEY")
    return Address(found[1], found[2] or "")


def find_place(endpoint: str | None, region: str | None, profile: str | None, config_file: str | None) -> Place:
    """Find the endpoint, region and keys in options, environment, and the files of ossutil or the aliyun CLI.

    Raises:
        ConfigError: The given file or profile does not exist or cannot be read.
    """
    place = Place()
    if config_file is None and profile is None:
        key_id, secret = _first(_KEY_ID), _first(_KEY_SECRET)
        if key_id and secret:
            place.keys, place.source = (key_id, secret, _first(_TOKEN)), "the environment"
    if place.keys is None:
        _read_files(place, profile, config_file)
    place.endpoint = endpoint or os.environ.get("OSS_ENDPOINT") or place.endpoint
    place.region = region or os.environ.get("OSS_REGION") or place.region
    if place.region is None and place.endpoint and (found := _REGION.fullmatch(place.endpoint)):
        place.region = found[1]
    if place.endpoint is None and place.region:
        place.endpoint = f"https://oss-{place.region}.aliyuncs.com"
    if place.endpoint is not None and "://" not in place.endpoint:
        place.endpoint = f"https://{place.endpoint}"
    return place


def open_bucket(place: Place, name: str) -> Any:  # Any: oss2 has no types
    """Make the oss2.Bucket.

    Raises:
        ConfigError: The endpoint or the region is missing or invalid.
        CredentialsError: There are no keys.
    """
    if place.endpoint is None:
        raise ConfigError(
            "neither an endpoint nor a region is known",
            hint="pass --region cn-hangzhou or --endpoint, or set OSS_REGION or OSS_ENDPOINT",
        )
    if place.region is None:
        raise ConfigError(
            f"the region of {urlsplit(place.endpoint).hostname} is not known, and signatures name it",
            hint="pass --region, or set OSS_REGION",
        )
    if place.keys is None:
        raise CredentialsError(
            "no access keys were found",
            hint="set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or pass --config-file; no flag takes a secret",
        )
    import oss2

    key_id, secret, token = place.keys
    provider = oss2.credentials.StaticCredentialsProvider(key_id, secret, token)
    try:
        return oss2.Bucket(oss2.ProviderAuthV4(provider), place.endpoint, name, region=place.region)
    except oss2.exceptions.ClientError as error:
        problem = str(error.body)
    raise ConfigError(f"oss2 takes no bucket {name!r} at {place.endpoint}: {problem}")


def _read_files(place: Place, profile: str | None, config_file: str | None) -> None:
    files = (
        [Path(config_file)] if config_file else [Path.home() / ".ossutilconfig", Path.home() / ".aliyun/config.json"]
    )
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if config_file:
                raise ConfigError(f"could not read --config-file {config_file!r}: {error}") from None
            continue
        read = _read_aliyun if text.lstrip().startswith("{") else _read_ossutil
        try:
            if read(place, text, profile):
                place.source = str(file)
                return
        except (configparser.Error, ValueError, TypeError, KeyError):
            raise ConfigError(f"{file} cannot be understood", hint="it must be ossutil's or the aliyun CLI's") from None
    if profile:
        raise ConfigError(f"there is no profile {profile!r} in {' or '.join(map(str, files))}")


def _read_ossutil(place: Place, text: str, profile: str | None) -> bool:
    """Source: https://help.aliyun.com/zh/oss/developer-reference/configure-ossutil (both generations)."""
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    parser.read_string(text)
    names = [profile, f"profile {profile}"] if profile else ["Credentials", "default"]
    section = next((parser[name] for name in names if name in parser), None)
    if section is None:
        return False
    key_id, secret = section.get("accessKeyID"), section.get("accessKeySecret")
    if key_id and secret:
        place.keys = key_id, secret, section.get("stsToken") or None
    place.endpoint, place.region = section.get("endpoint"), section.get("region")
    return True


def _read_aliyun(place: Place, text: str, profile: str | None) -> bool:
    """Source: https://help.aliyun.com/zh/cli/configure-credentials."""
    content = json.loads(text)
    wanted = profile or content.get("current")
    found = next((each for each in content["profiles"] if each["name"] == wanted), None)
    if found is None:
        return False
    if found.get("access_key_id") and found.get("access_key_secret"):
        place.keys = found["access_key_id"], found["access_key_secret"], found.get("sts_token") or None
    place.region = found.get("region_id") or None
    return True


def _first(variables: tuple[str, ...]) -> str | None:
    return next((value for variable in variables if (value := os.environ.get(variable))), None)
