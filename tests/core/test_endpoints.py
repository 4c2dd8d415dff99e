"""Endpoints that cannot be right."""

import pytest

from aioss_resume._core.endpoints import endpoint_mistake, has_bucket_twice


def mistake(host: str, path: str = "", bucket: str = "examplebucket"):
    return endpoint_mistake("https", host, path, f"{bucket}.{host}", bucket)


@pytest.mark.parametrize(
    ("host", "bucket"),
    [
        ("oss-cn-hangzhou.aliyuncs.com", "examplebucket"),
        ("oss-accelerate.aliyuncs.com", "oss"),
        ("oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou"),
        ("oss.internal.example.com", "oss"),  # a private cloud's own name, which may begin like the bucket
        ("examplebucket.example.com", "examplebucket"),
        ("127.0.0.1:8080", "examplebucket"),
        ("localhost", "localhost"),
    ],
)
def test_possible_endpoint_is_not_reported_as_a_mistake(host, bucket):
    assert mistake(host, "/", bucket) is None


@pytest.mark.parametrize(
    "rest", ["oss-cn-hangzhou.aliyuncs.com", "oss-cn-hangzhou-internal.aliyuncs.com", "oss.aliyuncs.com"]
)
def test_hint_for_an_endpoint_with_the_buckets_name_leaves_the_name_out(rest):
    found = mistake(f"examplebucket.{rest}")
    assert found is not None
    assert found.hint == f"pass https://{rest}"


def test_cname_with_the_buckets_name_is_no_mistake():
    host = "examplebucket.oss-cn-hangzhou.aliyuncs.com"
    assert endpoint_mistake("https", host, "", host, "examplebucket") is None


@pytest.mark.parametrize("host", ["oss.console.aliyun.com", "oss-cn-hangzhou.console.aliyun.com"])
def test_address_of_the_console_is_a_mistake(host):
    found = mistake(host, "/bucket/oss-cn-hangzhou/examplebucket")
    assert found is not None
    assert "console" in found.text


@pytest.mark.parametrize("path", ["/key", "/a/b", "?acl", "/?x=y"])
def test_path_or_query_is_a_mistake(path):
    found = mistake("oss-cn-hangzhou.aliyuncs.com", path)
    assert found is not None
    assert path in found.text
    assert found.hint.startswith("pass https://oss-cn-hangzhou.aliyuncs.com;")


@pytest.mark.parametrize(
    ("host", "twice"), [("b.b.host", True), ("b.host", False), ("b.bb.host", False), ("b.b", False)]
)
def test_bucket_name_twice_in_a_host_is_detected(host, twice):
    assert has_bucket_twice(host, "b") is twice
