"""A store, and the documents that are deployed to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from authz.model.service import SourceText
from authz.store.base import Store
from authz.store.sql import open_store

SHOP = """\
swagger: "2.0"
info: {title: Shop, version: 1.0.0}
host: shop.example.com
x-google-management:
  metrics: [{name: reads, valueType: INT64, metricKind: DELTA}]
  quota:
    limits:
      - {name: reads-per-minute, metric: reads, unit: "1/min/{project}", values: {STANDARD: 100}}
securityDefinitions:
  key: {type: apiKey, name: key, in: query}
paths:
  /v1/shelves:
    get:
      operationId: listShelves
      security: [{key: []}]
      x-google-quota: {metricCosts: {reads: 1}}
      responses: {"200": {description: fine}}
    post:
      operationId: createShelf
      security: [{key: []}]
      responses: {"200": {description: fine}}
"""

BAR = SHOP.replace("shop.example.com", "bar.example.com").replace("Shop", "Bar")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def shop() -> SourceText:
    return SourceText("shop.yaml", SHOP)


@pytest.fixture
def bar() -> SourceText:
    return SourceText("bar.yaml", BAR)


@pytest.fixture
def deploy_shop(store: Store, shop: SourceText) -> None:
    """The shop is deployed."""
    store.add_deployment("shop.example.com", [shop], 1_795_262_400.0)
