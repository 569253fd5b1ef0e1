"""Fields of single values: text, bytes, truth, numbers."""

from __future__ import annotations

from typing import Any, Final

from authz.frameworks.messages.enums import Variant
from authz.frameworks.messages.errors import ValidationError, shown
from authz.frameworks.messages.fields import Field

RANGES: Final = {
    Variant.INT32: (-(1 << 31), (1 << 31) - 1),
    Variant.SINT32: (-(1 << 31), (1 << 31) - 1),
    Variant.UINT32: (0, (1 << 32) - 1),
    Variant.INT64: (-(1 << 63), (1 << 63) - 1),
    Variant.SINT64: (-(1 << 63), (1 << 63) - 1),
    Variant.UINT64: (0, (1 << 64) - 1),
}


class StringField(Field):
    """Text."""

    VARIANTS = (Variant.STRING,)
    takes = "text (str)"
    type = str

    def _fit(self, value: Any) -> Any:
        if isinstance(value, str):
            return value
        raise self.unfit(value)


class BytesField(Field):
    """Bytes; base64 in JSON."""

    VARIANTS = (Variant.BYTES,)
    takes = "bytes"
    type = bytes

    def _fit(self, value: Any) -> Any:
        if isinstance(value, bytes):
            return value
        raise self.unfit(value)


class BooleanField(Field):
    """True or False."""

    VARIANTS = (Variant.BOOL,)
    takes = "True or False"
    type = bool

    def _fit(self, value: Any) -> Any:
        if value is True or value is False:
            return value
        raise self.unfit(value)


class IntegerField(Field):
    """An integer within its variant's range; 64 bits are text in JSON."""

    VARIANTS = (Variant.INT64, Variant.INT32, Variant.UINT32, Variant.UINT64, Variant.SINT32, Variant.SINT64)
    takes = "an integer"
    type = int

    def _fit(self, value: Any) -> Any:
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.unfit(value)
        low, high = RANGES[self.variant]
        if low <= value <= high:
            return value
        raise ValidationError(f"{self}: {self.variant} holds {low} to {high}, not {shown(value)}")


class FloatField(Field):
    """A number; an integer becomes one."""

    VARIANTS = (Variant.DOUBLE, Variant.FLOAT)
    takes = "a number"
    type = float

    def _fit(self, value: Any) -> Any:
        if isinstance(value, float):
            return value
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.unfit(value)
        try:
            return float(value)
        except OverflowError:
            raise self.unfit(value) from None
