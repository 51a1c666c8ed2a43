import pytest

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError


def test_devices():
    assert as_device("cpu").type == "cpu"
    for bad in ("tpu9", "cuda:99", "", "meta", "meta?", "hpu", None):
        with pytest.raises(InputError, match="is not a device"):
            as_device(bad)
