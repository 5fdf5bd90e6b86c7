"""Downloads that are polite to the server and patient with it.

One clock spaces the requests of all threads, repeats included, and stands still while the server asks for
quiet (Retry-After). A repeat n >= 2 waits backoff * 2^(n-1) seconds. An answer has three ways to fail, and
they differ in what comes next:

    Unusable      the server has spoken: asking again would give the same answer; not repeated
    Unreadable    something arrived that is not the file (an error page, a torn file); repeated
    Unreachable   no answer: an error status, a stall, a reset; repeated, and worth a later run
"""

import threading
import time
from collections.abc import Callable
from http.cookiejar import DefaultCookiePolicy

import requests
import requests.adapters
import urllib3
from pydantic import PositiveFloat, PositiveInt

import galgen
from galgen.runs.errors import Closed

# Other statuses of 4xx may be a ban, a limit or a mistake in the URL, so they settle nothing.
SETTLED_STATUSES = frozenset({404, 410})
BACKOFF_MAX = 60.0


class DownloadFailure(Exception):
    """Why a file is not there; the message is a short reason that can be counted."""


class Unusable(DownloadFailure):
    """A settled answer: the same question would be answered in the same way."""


class Unreadable(DownloadFailure):
    """What arrived is not the file that was asked for, however often it was asked."""


class Unreachable(DownloadFailure):
    """The server gave no answer, however often it was asked."""


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

    rate: PositiveFloat = 5.0
    timeout: PositiveFloat = 30.0
    deadline: PositiveFloat = 120.0
    retries: PositiveInt = 5
    backoff: PositiveFloat = 1.0
    retry_after_max: PositiveFloat = 300.0


class Downloader:
    """Gets small files by URL, from any number of threads.

    Args:
        network: How to treat the server.
        connections: Connections kept open; one a thread.
    """

    def __init__(self, network: Network, connections: int):
        self._network = network
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"galgen/{galgen.__version__} (galaxy cut-outs for research)"
        # Cookies are the one part of a session that threads would change under each other's feet.
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, requests.adapters.HTTPAdapter(pool_maxsize=connections))

    def get(self, url: str, check: Callable[[bytes], None], max_bytes: int) -> bytes:
        """Return the body of `url` once `check` accepts it.

        Args:
            url: What to get.
            check: Raises `Unusable` or `Unreadable` if the body is not what it should be.
            max_bytes: Size above which a body cannot be the file.

        Raises:
            Unusable: 404 or 410, or `check` says so.
            Unreadable: `check` said so at every attempt, or at the last one.
            Unreachable: The last attempt ended in another status, a time-out or a broken connection.
        """
        network, failure, pause = self._network, None, 0.0
        for repeat in range(network.retries + 1):
            if repeat > 1 and not pause:
                self._stopped.wait(min(network.backoff * 2 ** (repeat - 1), BACKOFF_MAX))
            self._wait_for_turn()
            pause = 0.0
            try:
                body = self._attempt(url, max_bytes)
                check(body)
                return body
            except Unreadable as error:
                failure = error
            except requests.HTTPError as error:
                failure = Unreachable(f"HTTP {error.response.status_code}")
                pause = _asked_for(error.response)
            except (requests.Timeout, urllib3.exceptions.TimeoutError):
                failure = Unreachable("timed out")
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                failure = Unreachable(f"connection failed ({type(error).__name__})")
            if pause:
                with self._lock:
                    self._next = max(self._next, time.monotonic() + min(pause, network.retry_after_max))
        raise failure

    def close(self) -> None:
        """Close the connections and make every waiting and every further `get` fail at once."""
        self._stopped.set()
        self._session.close()

    def _attempt(self, url: str, max_bytes: int) -> bytes:
        deadline = time.monotonic() + self._network.deadline
        with self._session.get(url, stream=True, timeout=self._network.timeout) as response:
            if response.status_code in SETTLED_STATUSES:
                raise Unusable(f"HTTP {response.status_code}")
            response.raise_for_status()
            body = bytearray()
            # read1 returns what has come; read would wait for a full piece, and trickling bytes fend off
            # the time-out for ever.
            while piece := response.raw.read1(65536, decode_content=True):
                body += piece
                if len(body) > max_bytes:
                    raise Unusable(f"over {max_bytes} bytes")
                if time.monotonic() > deadline:
                    raise requests.Timeout(f"slower than {self._network.deadline} s")
            return bytes(body)

    def _wait_for_turn(self) -> None:
        delay = 1.0
        while delay > 0:
            with self._lock:
                delay = self._next - time.monotonic()
                if delay <= 0:
                    self._next = time.monotonic() + 1 / self._network.rate
            if self._stopped.wait(max(delay, 0)):
                raise Unreachable("stopped")


def _asked_for(response: requests.Response) -> float:
    """Seconds of quiet that the server asks for; a date that nobody can read asks for none."""
    try:
        return urllib3.Retry().get_retry_after(response) or 0.0
    except urllib3.exceptions.InvalidHeader:
        return 0.0
