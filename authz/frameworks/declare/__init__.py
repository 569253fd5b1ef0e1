"""Decorators for classes and methods, and what they come to: `Api`s and `Method`s."""

from __future__ import annotations

from authz.frameworks.declare.assemble import apis
from authz.frameworks.declare.classes import ApiDecorator, ApiInfo, api
from authz.frameworks.declare.container import ResourceContainer
from authz.frameworks.declare.methods import MethodInfo, method

__all__ = ["ApiDecorator", "ApiInfo", "MethodInfo", "ResourceContainer", "api", "apis", "method"]
