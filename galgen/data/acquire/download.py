"""Downloads that are polite to the server and patient with it.

urllib3 repeats a request that gets no answer or an error status, with back-off and after the quiet that the
server asks for (Retry-After). One clock spaces the requests of all threads, repeats included, and stands
still for all of them during that quiet. An answer has two ways to fail:

    Unusable      the server has spoken: asking again would give the same answer
    Unreachable   no answer, or not the whole of it: worth a later run
"""

import threading
import time
from http.cookiejar import DefaultCookiePolicy

import requests
import urllib3
from pydantic import Field, PositiveFloat, PositiveInt
from requests.adapters import HTTPAdapter

import galgen
from galgen.runs.errors import Closed

__all__ = ["Downloader", "Network", "Unreachable", "Unusable"]

# Other statuses of 4xx may be a ban, a limit or a mistake in the URL, so they settle nothing.
SETTLED_STATUSES = frozenset({404, 410})


class Unusable(Exception):
    """A settled answer; the message is a short reason that can be counted."""


class Unreachable(Exception):
    """The server gave no answer, however often it was asked; the message is a reason as well."""


class Network(Closed):
    """How to treat a server.

    Attributes:
        rate: Requests a second, all threads together.
        timeout: Seconds without a byte after which a request is given up.
        deadline: Seconds for a whole body, however slowly its bytes trickle in.
        retries: How often a request is repeated.
        backoff: Seconds of the back-off; the first repeat comes at once, the second after twice this.
        retry_after_max: Longest pause in seconds that the server may ask for.
    """

    rate: float = Field(5.0, ge=1e-6)
    timeout: PositiveFloat = 30.0
    deadline: PositiveFloat = 120.0
    retries: PositiveInt = 5
    backoff: PositiveFloat = 1.0
    retry_after_max: PositiveInt = 300


class Downloader:
    """Gets small files by URL, from any number of threads.

    Args:
        network: How to treat the server.
        connections: Connections kept open; one a thread.
    """

    def __init__(self, network: Network, connections: int):
        self._network, self._lock, self._next = network, threading.Lock(), time.monotonic()
        self._closed = False
        wait, quiet = self._wait_for_turn, self._keep_quiet

        class Polite(urllib3.Retry):
            """Has each repeat wait for its turn, and all threads for the quiet that one is asked for."""

            def sleep_for_retry(self, response: urllib3.BaseHTTPResponse) -> bool:
                quiet(pause := self.get_retry_after(response) or 0.0)
                return pause > 0

            def sleep(self, response: urllib3.BaseHTTPResponse | None = None) -> None:
                super().sleep(response)
                wait()

        retries = Polite(
            network.retries,
            backoff_factor=network.backoff,
            retry_after_max=network.retry_after_max,
            status_forcelist=frozenset(range(400, 600)) - SETTLED_STATUSES,
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"galgen/{galgen.__version__} (galaxy cut-outs for research)"
        # Cookies are the one part of a session that threads would change under each other's feet.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=retries))

    def get(self, url: str, max_bytes: int) -> bytes:
        """Return the body of `url`.

        Args:
            url: What to get.
            max_bytes: Size above which a body cannot be the file.

        Raises:
            Unusable: 404 or 410, or too large.
            Unreachable: The last attempt ended in another status, a time-out or a broken connection.
        """
        self._wait_for_turn()
        try:
            with self._session.get(url, stream=True, timeout=self._network.timeout) as response:
                if response.status_code in SETTLED_STATUSES:
                    raise Unusable(f"HTTP {response.status_code}")
                response.raise_for_status()
                return self._body(response.raw, max_bytes)
        except requests.HTTPError as error:
            raise Unreachable(f"HTTP {error.response.status_code}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unreachable(f"connection failed ({type(error).__name__})") from error

    def _body(self, raw: urllib3.BaseHTTPResponse, max_bytes: int) -> bytes:
        body, deadline = bytearray(), time.monotonic() + self._network.deadline
        # read1 returns what has come; read would wait for a full piece, and trickling bytes fend off the
        # time-out for ever.
        while piece := raw.read1(65536, decode_content=True):
            body += piece
            if len(body) > max_bytes:
                raise Unusable(f"over {max_bytes} bytes")
            if time.monotonic() > deadline:
                raise Unreachable(f"slower than {self._network.deadline:g} s")
        return bytes(body)

    def close(self) -> None:
        """Send no more requests, also from threads that wait to repeat one."""
        self._closed = True

    def _keep_quiet(self, seconds: float) -> None:
        with self._lock:
            self._next = max(self._next, time.monotonic() + seconds)

    def _wait_for_turn(self) -> None:
        """Until this thread may send a request; looked at again after each nap, as a quiet may have begun."""
        delay = 1.0
        while delay > 0:
            if self._closed:
                raise Unreachable("given up")
            with self._lock:
                delay = self._next - time.monotonic()
                if delay <= 0:
                    self._next = time.monotonic() + 1 / self._network.rate
            time.sleep(max(0.0, delay))
