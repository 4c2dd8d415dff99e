"""The local OSS: storage, signatures, requests and responses."""
