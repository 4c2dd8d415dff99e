"""The local OSS: storage, signatures, requests and answers."""
