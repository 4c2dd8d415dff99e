"""Where objects are and which credentials are used: addresses, the environment, configuration files of other tools."""

import configparser
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from aioss_resume._io.storage import home_directory
from aioss_resume.errors import ConfigError, CredentialsError

_OSS: Final = re.compile(r"oss://([a-z0-9][a-z0-9-]{1,61}[a-z0-9])(?:/(.*))?", re.DOTALL)
_REGION: Final = re.compile(r"(?:https?://)?(?:[a-z0-9-]+\.)?oss-([a-z]{2}-[a-z0-9-]+?)(?:-internal)?\.aliyuncs\.com.*")
_KEY_ID: Final = ("OSS_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_ID")
_KEY_SECRET: Final = ("OSS_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_ACCESS_KEY_SECRET")
_MODES: Final = ("ak", "ststoken", "cloudsso")  # the other modes exchange the keys in the file for temporary ones
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
        problem: Why a profile has no keys that can be used.
    """

    endpoint: str | None = None
    region: str | None = None
    source: str = ""
    keys: "tuple[str, str, str | None] | None" = None
    problem: str | None = None

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
    place = Place(endpoint or os.environ.get("OSS_ENDPOINT"), region or os.environ.get("OSS_REGION"))
    if config_file is None and profile is None:  # with either flag, the keys come from the profile
        key_id, secret = _first(_KEY_ID), _first(_KEY_SECRET)
        if key_id and secret:
            place.keys, place.source = (key_id, secret, _first(_TOKEN)), "the environment"
    if place.keys is None or not (place.endpoint or place.region):
        profile = profile or os.environ.get("OSSUTIL_PROFILE")
        _read_files(place, profile, config_file or os.environ.get("OSSUTIL_CONFIG_FILE"))
    if place.region is None and place.endpoint and (found := _REGION.fullmatch(place.endpoint)):
        place.region = found[1]
    if place.endpoint is None and place.region:
        place.endpoint = f"https://oss-{place.region}.aliyuncs.com"
    if place.endpoint is not None:
        place.endpoint = _checked_endpoint(place.endpoint)
    return place


def _checked_endpoint(endpoint: str) -> str:
    complete = endpoint if "://" in endpoint else f"https://{endpoint}"
    try:
        parts = urlsplit(complete)
        is_valid = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port or IPv6 address
        is_valid = False
    if not is_valid:
        raise ConfigError(
            f"{endpoint!r} is no endpoint", hint="write https://HOST, such as oss-cn-hangzhou.aliyuncs.com"
        )
    return complete


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
            place.problem or "no access keys were found",
            hint="set OSS_ACCESS_KEY_ID and OSS_ACCESS_KEY_SECRET, or pass --config-file; no flag takes a secret",
        )
    import oss2

    try:
        return oss2.Bucket(auth_of(place), place.endpoint, name, region=place.region)
    except oss2.exceptions.ClientError as error:
        problem = str(error.body)
    raise ConfigError(f"oss2 takes no bucket {name!r} at {place.endpoint}: {problem}")


def auth_of(place: Place) -> Any:  # Any: oss2 has no types
    """The oss2 auth that signs with the keys of a place, which must have some."""
    import oss2

    assert place.keys is not None
    return oss2.ProviderAuthV4(oss2.credentials.StaticCredentialsProvider(*place.keys))


def key_of_url(url: str) -> str:
    """The part of a presigned address that names the object."""
    return unquote(urlsplit(url).path)


def file_name_of(key: str) -> str:
    """The name of the file for a key: its last part. "" if no file can have that name."""
    last = key.rstrip("/").rpartition("/")[2]
    return "" if last in (".", "..") else last


def _read_files(place: Place, profile: str | None, config_file: str | None) -> None:
    """Add what is missing in a place from the first file that has the profile."""
    home = home_directory()
    if config_file:
        files = [Path(config_file)]
    else:
        files = [home / ".ossutilconfig", home / ".aliyun/config.json"] if home is not None else []
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            if config_file:
                raise ConfigError(f"could not read the configuration file {config_file!r}: {error}") from None
            continue
        read = _read_aliyun if text.lstrip().startswith("{") else _read_ossutil
        try:
            if read(place, text, profile):
                place.source = place.source or str(file)
                return
        except (configparser.Error, ValueError, TypeError, KeyError):
            raise ConfigError(f"{file} cannot be understood", hint="it must be ossutil's or the aliyun CLI's") from None
    if profile:
        where = " or ".join(map(str, files)) or "the home directory, which is not known"
        raise ConfigError(f"there is no profile {profile!r} in {where}")


def _read_ossutil(place: Place, text: str, profile: str | None) -> bool:
    """Read a file of ossutil, of both generations. Names of sections and keys may be written in several ways.

    Source: https://help.aliyun.com/zh/oss/developer-reference/configure-ossutil2
    """
    parser = configparser.ConfigParser(interpolation=None, default_section="", strict=False)
    parser.optionxform = lambda name: re.sub("[-_]", "", name).lower()  # type: ignore[assignment]
    parser.read_string(text)
    sections = {name.lower(): parser[name] for name in parser.sections()}
    names = [profile, f"profile {profile}"] if profile else ["default", "profile default", "credentials"]
    section = next((sections[name.lower()] for name in names if name.lower() in sections), None)
    if section is None:
        return False
    found = {name: value.strip().strip("\"'") for name, value in section.items()}
    _take_keys(place, found.get("mode"), found.get("accesskeyid"), found.get("accesskeysecret"), found.get("ststoken"))
    place.endpoint = place.endpoint or found.get("endpoint")
    place.region = place.region or found.get("region")
    return True


def _read_aliyun(place: Place, text: str, profile: str | None) -> bool:
    """Read a file of the aliyun CLI. Source: https://help.aliyun.com/zh/cli/configure-credentials."""
    content = json.loads(text)
    wanted = profile or content.get("current")
    found = next((each for each in content["profiles"] if each["name"] == wanted), None)
    if found is None:
        return False
    key_id, secret, token = (found.get(name) for name in ("access_key_id", "access_key_secret", "sts_token"))
    _take_keys(place, found.get("mode"), key_id, secret, token)
    place.region = place.region or found.get("region_id")
    return True


def _take_keys(place: Place, mode: str | None, key_id: str | None, secret: str | None, token: str | None) -> None:
    """Take the keys of a profile, unless its mode says that they are not those to sign with."""
    if mode and mode.lower() not in _MODES:
        place.problem = f"the profile gets its keys by the mode {mode}, which this command does not know"
    elif place.keys is None and key_id and secret:
        place.keys = key_id, secret, token or None


def _first(variables: tuple[str, ...]) -> str | None:
    return next((value for variable in variables if (value := os.environ.get(variable))), None)
