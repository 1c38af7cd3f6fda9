"""The seam of device memory: every library behind it gives the same, and the first that works."""

import contextlib
import ctypes
import threading

import fakecuda
import fakecudapython
import numpy as np
import pytest

from edgelane.runtime.cuda import (
    CudaError,
    compute_capability,
    device_name,
    driver_problem,
    open_device,
    transfer_mode,
)
from edgelane.runtime.cuda.bindings import BindingsDevice
from edgelane.runtime.cuda.cudart import CudartDevice
from edgelane.runtime.cuda.pycuda import PycudaDevice
from edgelane.runtime.testing import FakeDevice, SimulatedCuda

WAYS = ["fake", "ctypes 10.2", "ctypes 11.4", "ctypes 13.0", "cudart", "bindings", "pycuda"]


@pytest.fixture
def cuda():
    return SimulatedCuda(memory=1 << 20)


@pytest.fixture(params=WAYS)
def device(request, cuda, monkeypatch):
    """A device through each library, over one simulated one."""
    way = request.param
    release = tuple(int(n) for n in way[6:].split(".")) if way.startswith("ctypes") else (11, 4)
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda, release))
    with contextlib.ExitStack() as stack:
        if way == "fake":
            yield FakeDevice(cuda)
        elif way.startswith("ctypes"):
            yield CudartDevice()
        elif way == "pycuda":
            stack.enter_context(fakecudapython.pycuda(cuda))
            yield PycudaDevice()
        else:
            stack.enter_context(fakecudapython.cuda_python(cuda, way))
            yield BindingsDevice()


def test_it_says_what_it_is(device, cuda):
    """Name, generation and whether memory is shared, however it is reached."""
    assert device.name == cuda.name
    assert tuple(device.compute_capability) == (7, 2)
    assert device.integrated
    assert device.graphs


def test_bytes_go_there_and_back(device, cuda):
    """Copies take place once the stream was waited for; all is given back."""
    with device.current():
        stream = device.create_stream()
        source = np.arange(1000, dtype=np.uint8)
        target = np.zeros(1000, np.uint8)
        address = device.alloc(1000)
        device.to_device(address, source, stream)
        device.to_host(target, address, stream)
        device.synchronize(stream)
        assert np.array_equal(source, target)
        assert cuda.used == 1000
        device.free(address)
        assert cuda.used == 0
        device.destroy_stream(stream)


def test_mapped_memory_is_seen_by_both(device, cuda):
    """The device reads what the CPU wrote, without a copy; plain page-locked memory it does not."""
    with device.current():
        buffer = device.host_alloc(64, mapped=True)
        buffer.array[:] = 7
        assert np.all(cuda.view(buffer.device, 64) == 7)
        device.host_free(buffer)
        buffer = device.host_alloc(64, mapped=False)
        assert buffer.device is None
        assert buffer.array.nbytes == 64
        device.host_free(buffer)


def test_graphs_do_the_recorded_work_again(device, cuda):
    """What is recorded is not done until it is launched, and then as often as wanted."""
    with device.current():
        stream = device.create_stream()
        done = []
        device.begin_capture(stream)
        cuda.enqueue(stream, lambda: done.append(1))
        graph = device.end_capture(stream)
        device.synchronize(stream)
        assert done == []
        for _ in range(3):
            device.launch(graph, stream)
        device.synchronize(stream)
        assert done == [1, 1, 1]
        device.destroy_graph(graph)
        device.destroy_stream(stream)


def test_a_broken_capture_is_an_error_and_the_stream_goes_on(device, cuda):
    """As where an engine does something that no graph can hold."""
    with device.current():
        stream = device.create_stream()
        device.begin_capture(stream)
        cuda.breaks(stream)
        with pytest.raises(CudaError, match="901|graph"):
            device.end_capture(stream)
        done = []
        cuda.enqueue(stream, lambda: done.append(1))
        device.synchronize(stream)
        assert done == [1]


def test_a_full_device_is_said_with_a_remedy(device):
    """The library's own words, and what can be done."""
    with device.current(), pytest.raises(CudaError, match="smaller model"):
        device.alloc(1 << 30)


def test_a_wrong_address_breaks_the_device_for_good(device, cuda):
    """As a real one: the error comes with the next wait, and every call after it fails."""
    with device.current():
        stream = device.create_stream()
        device.to_host(np.zeros(64, np.uint8), 12345, stream)
        with pytest.raises(CudaError, match="illegal memory access"):
            device.synchronize(stream)
        with pytest.raises(CudaError, match="illegal memory access"):
            device.alloc(10)


def test_it_works_in_several_threads(device, cuda):
    """Each with its stream."""
    wrong = []

    def work(value):
        try:
            with device.current():
                stream, address = device.create_stream(), device.alloc(512)
                for _ in range(20):
                    source, target = np.full(512, value, np.uint8), np.zeros(512, np.uint8)
                    device.to_device(address, source, stream)
                    device.to_host(target, address, stream)
                    device.synchronize(stream)
                    if not np.all(target == value):
                        wrong.append(value)
                device.free(address)
        except Exception as error:  # shown by the assertion below
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert cuda.used == 0


def test_pycuda_comes_first_then_cuda_python_then_ctypes(cuda, monkeypatch):
    """The first that is installed serves."""
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda))
    assert isinstance(open_device(), CudartDevice)
    with fakecudapython.cuda_python(cuda, "bindings"):
        assert isinstance(open_device(), BindingsDevice)
        with fakecudapython.pycuda(cuda):
            assert isinstance(open_device(), PycudaDevice)


def test_pycuda_without_libcudart_has_no_graphs(cuda, monkeypatch):
    """All else works."""
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda, without=("libcudart",)))
    with fakecudapython.pycuda(cuda):
        assert not PycudaDevice().graphs


def test_the_driver_is_asked_first(cuda, monkeypatch):
    """No driver, a driver without a device, and no runtime library are each said in a sentence."""
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda))
    assert driver_problem() is None
    assert compute_capability() == (7, 2)
    assert device_name() == "Xavier"
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda, without=("libcudart",)))
    with pytest.raises(CudaError, match="no libcudart.so"):
        open_device()
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(SimulatedCuda(present=False)))
    assert driver_problem() == "the driver finds no device"
    monkeypatch.setattr(ctypes, "CDLL", fakecuda.loader(cuda, without=("libcuda",)))
    assert "no NVIDIA driver" in str(driver_problem())
    with pytest.raises(CudaError, match="no NVIDIA driver"):
        open_device()
    with pytest.raises(CudaError, match="no NVIDIA driver"):
        compute_capability()


@pytest.mark.parametrize(
    ("name", "capability", "integrated", "mode"),
    [
        ("Nano", (5, 3), True, "pageable"),
        ("TX2", (6, 2), True, "pageable"),
        ("Xavier", (7, 2), True, "mapped"),
        ("Orin", (8, 7), True, "mapped"),
        ("A10", (8, 6), False, "pinned"),
    ],
)
def test_arrays_travel_as_the_devices_memory_demands(name, capability, integrated, mode):
    """Zero copy where CPU and GPU see the same memory coherently, and nowhere else."""
    device = FakeDevice(SimulatedCuda(name, capability, integrated))
    assert transfer_mode(device) == mode
