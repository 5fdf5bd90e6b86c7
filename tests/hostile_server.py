"""A cut-out server on the loopback interface that serves real FITS images and misbehaves on request."""

import io
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits

HTML = b"<!DOCTYPE html><html><body><h1>Internal error</h1></body></html>" + b" " * 6000


def cube(ra: str, bands: str, size: int) -> np.ndarray:
    """The cut-out of an object, shape (bands, size, size), or (size, size) of one band."""
    seeds = ([round(float(ra)), ord(band)] for band in bands)
    planes = [np.random.default_rng(seed).normal(0.0, 0.01, (size, size)) for seed in seeds]
    return np.squeeze(np.stack(planes)).astype(np.float32)


def fits_bytes(data: np.ndarray, **header: str) -> bytes:
    buffer = io.BytesIO()
    fits.PrimaryHDU(data, fits.Header(header)).writeto(buffer)
    return buffer.getvalue()


class HostileServer(ThreadingHTTPServer):
    """Counts requests by object; the object's number is its right ascension.

    `faults` maps an object to a function of (handler, content, attempt); it answers and returns True, or
    returns False to let the good answer through.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.faults: dict[int, Callable] = {}
        self.asked: Counter = Counter()
        self.served: Counter = Counter()
        self.times: list[float] = []
        self.delay = 0.0
        self.lock = threading.Lock()

    @property
    def template(self) -> str:
        return (
            f"http://127.0.0.1:{self.server_port}/cutout?ra={{ra}}&dec={{dec}}"
            "&size={size}&pixscale={pixscale}&bands={bands}"
        )

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the play."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        number = round(float(query["ra"]))
        content = fits_bytes(cube(query["ra"], query["bands"], int(query["size"])), BANDS=query["bands"])
        server = self.server
        with server.lock:
            server.asked[number] += 1
            attempt = server.asked[number]
            server.times.append(time.monotonic())
        fault = server.faults.get(number)
        if fault is not None and fault(self, content, attempt):
            return
        time.sleep(server.delay)
        self.answer(200, content)
        with server.lock:
            server.served[number] += 1

    def answer(self, status: int, content: bytes = b"", length: int | None = None, **headers: str):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        self.wfile.flush()

    def log_message(self, format, *args):
        """The test's output is not a server log."""


def fault(act: Callable, times: float = float("inf")) -> Callable:
    """A fault of the first so many answers about an object; `act` takes the handler and the good content."""

    def answered(handler, content, attempt):
        if attempt <= times:
            act(handler, content)
        return attempt <= times

    return answered


def status(code: int, times: float = float("inf"), **headers: str) -> Callable:
    return fault(lambda handler, content: handler.answer(code, b"no", **headers), times)


def body(make: Callable[[bytes], bytes]) -> Callable:
    return fault(lambda handler, content: handler.answer(200, make(content)))


def cut_off(share: float, seconds: float = 0.0) -> Callable:
    """A part of the content, and then the end, or seconds of nothing."""

    def act(handler, content):
        handler.answer(200, content[: int(share * len(content))], length=len(content))
        time.sleep(seconds)
        handler.close_connection = True

    return fault(act)


def trickling(pause: float) -> Callable:
    def act(handler, content):
        handler.answer(200, length=len(content))
        for i in range(len(content)):
            handler.wfile.write(content[i : i + 1])
            handler.wfile.flush()
            time.sleep(pause)

    return fault(act)


def reset(times: float = float("inf")) -> Callable:
    def act(handler, content):
        # With a linger time of zero, close sends RST instead of FIN.
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.shutdown(socket.SHUT_RD)
        handler.close_connection = True

    return fault(act, times)


@contextmanager
def running():
    server = HostileServer()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
