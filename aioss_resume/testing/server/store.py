"""The stored buckets, their objects, and the versions of objects."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Literal

from aioss_resume.testing.server.answers import RefusedError
from aioss_resume.testing.server.contents import BytesContent, Content

Storing = Literal["Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"]


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One version of an object, or a delete marker. Immutable."""

    key: str
    content: Content
    etag: str
    last_modified: int
    version_id: str = "null"
    headers: Mapping[str, str] = field(default_factory=dict)
    """The stored headers, including `Content-Type` and `x-oss-meta-*`."""
    storage_class: str = "Standard"
    object_type: str = "Normal"
    crc64: int | None = None
    """The CRC-64 to send instead of the content's."""
    no_crc: bool = False
    is_delete_marker: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    symlink_target: str | None = None
    """The key of the object whose bytes are sent instead; None unless this is a symbolic link."""

    @property
    def told_crc64(self) -> int | None:
        if self.no_crc:
            return None
        return self.content.crc64 if self.crc64 is None else self.crc64


@dataclass(slots=True)
class Upload:
    """A multipart upload that was begun."""

    upload_id: str
    key: str
    initiated: int
    template: StoredObject
    """The future object, without its bytes."""
    parts: dict[int, "Part"] = field(default_factory=dict)

    def finished(self, content: Content, now: int) -> StoredObject:
        """The object that results from the upload."""
        return replace(self.template, content=content, etag=content.etag, last_modified=now, object_type="Multipart")


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart upload."""

    content: Content
    last_modified: int


class _Bucket:
    """The versions of each key, with the newest one last. Without versioning, there is one."""

    def __init__(self, created: int) -> None:
        self.created = created
        self.is_public = False
        self.has_versions = False
        self.objects: dict[str, list[StoredObject]] = {}
        self.uploads: dict[str, Upload] = {}


class Store:
    """All buckets, which are in one region. Methods may be called from any thread."""

    def __init__(self, region: str) -> None:
        self.region = region
        self._lock = threading.Lock()  # guards the attributes below
        self._buckets: dict[str, _Bucket] = {}
        self._versions = 0

    def create_bucket(self, name: str, now: int) -> None:
        """Create the bucket, unless it exists."""
        with self._lock:
            self._buckets.setdefault(name, _Bucket(now))

    def bucket_names(self) -> list[str]:
        """The sorted names of all buckets."""
        with self._lock:
            return sorted(self._buckets)

    def created(self, name: str) -> float:
        """When the bucket was created, in seconds since 1970."""
        with self._lock:
            return self._bucket(name).created

    def make_public(self, name: str) -> None:
        with self._lock:
            self._bucket(name).is_public = True

    def is_public(self, name: str) -> bool:
        with self._lock:
            return self._bucket(name).is_public

    def enable_versioning(self, name: str) -> None:
        with self._lock:
            self._bucket(name).has_versions = True

    def has_versions(self, name: str) -> bool:
        with self._lock:
            return self._bucket(name).has_versions

    def put(self, bucket: str, stored: StoredObject) -> StoredObject:
        """Store an object as the newest version. Returns the stored object, with its version id."""
        with self._lock:
            return self._put(self._bucket(bucket), stored)

    def _put(self, home: _Bucket, stored: StoredObject) -> StoredObject:
        versions = home.objects.setdefault(stored.key, [])
        if not home.has_versions:
            versions[:] = [version for version in versions if version.version_id != "null"]
        else:
            self._versions += 1
            stored = replace(stored, version_id=f"CAEQ{self._versions:060X}")
        versions.append(stored)
        return stored

    def update(self, bucket: str, stored: StoredObject) -> None:
        """Replace the same version of an object."""
        with self._lock:
            versions = self._bucket(bucket).objects[stored.key]
            versions[:] = [stored if old.version_id == stored.version_id else old for old in versions]

    def find(self, bucket: str, key: str, version_id: str | None = None) -> StoredObject:
        """The requested version, or the newest one. Raises OSS's error if it does not exist."""
        with self._lock:
            versions = self._bucket(bucket).objects.get(key, [])
            if version_id is None:
                if not versions:
                    raise _no_such_key(key)
                if versions[-1].is_delete_marker:
                    marker = {"x-oss-delete-marker": "true", "x-oss-version-id": versions[-1].version_id}
                    raise _no_such_key(key, marker)
                return versions[-1]
            for version in versions:
                if version.version_id == version_id:
                    break
            else:
                message = "The specified version does not exist."
                details = {"Key": key, "VersionId": version_id}
                raise RefusedError(404, "NoSuchVersion", message, details=details)
            if version.is_delete_marker:
                marker = {"x-oss-delete-marker": "true", "x-oss-version-id": version_id, "Allow": "DELETE"}
                message = "The specified method is not allowed against this resource."
                raise RefusedError(405, "MethodNotAllowed", message, headers=marker)
            return version

    def delete(self, bucket: str, key: str, version_id: str | None, now: int) -> StoredObject | None:
        """Delete an object or a version. Returns the deleted version, or with versioning the new delete marker."""
        with self._lock:
            home = self._bucket(bucket)
            versions = home.objects.get(key, [])
            if version_id is None and home.has_versions:
                empty = BytesContent(b"")
                marker = StoredObject(key=key, content=empty, etag="", last_modified=now, is_delete_marker=True)
                return self._put(home, marker)
            gone = [version for version in versions if version.version_id == (version_id or "null")]
            left = [version for version in versions if version not in gone]
            home.objects[key] = left
            if not left:
                del home.objects[key]
            return gone[0] if gone else None

    def newest(self, bucket: str) -> list[StoredObject]:
        """The newest version of each existing object, sorted by the UTF-8 bytes of the keys."""
        with self._lock:
            found = [versions[-1] for versions in self._bucket(bucket).objects.values() if versions]
        kept = [stored for stored in found if not stored.is_delete_marker]
        return sorted(kept, key=lambda stored: order(stored.key))

    def every_version(self, bucket: str) -> list[StoredObject]:
        """All versions and delete markers, sorted by key, with the newest version of each key first."""
        with self._lock:
            found = [list(reversed(versions)) for versions in self._bucket(bucket).objects.values()]
        return sorted(chain.from_iterable(found), key=lambda stored: order(stored.key))

    def add_upload(self, bucket: str, upload: Upload) -> None:
        with self._lock:
            self._bucket(bucket).uploads[upload.upload_id] = upload

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        """The multipart upload with that id. Raises OSS's error if it does not exist."""
        with self._lock:
            found = self._bucket(bucket).uploads.get(upload_id)
        if found is None or found.key != key:
            message = "The specified upload does not exist: its ID is wrong, or it was aborted or completed."
            raise RefusedError(404, "NoSuchUpload", message, details={"UploadId": upload_id})
        return found

    def remove_upload(self, bucket: str, upload: Upload) -> None:
        with self._lock:
            self._bucket(bucket).uploads.pop(upload.upload_id, None)

    def uploads(self, bucket: str) -> list[Upload]:
        """The unfinished multipart uploads, sorted by key."""
        with self._lock:
            found = list(self._bucket(bucket).uploads.values())
        return sorted(found, key=lambda upload: (order(upload.key), upload.upload_id))

    def _bucket(self, name: str) -> _Bucket:
        bucket = self._buckets.get(name)
        if bucket is None:
            message = "The specified bucket does not exist."
            raise RefusedError(404, "NoSuchBucket", message, details={"BucketName": name})
        return bucket


def order(name: str) -> bytes:
    """The sort key of a name: its UTF-8 bytes, as in OSS."""
    return name.encode("utf-8", "surrogateescape")


def _no_such_key(key: str, headers: Mapping[str, str] | None = None) -> RefusedError:
    message = "The specified key does not exist."
    return RefusedError(404, "NoSuchKey", message, details={"Key": key}, headers=headers)
