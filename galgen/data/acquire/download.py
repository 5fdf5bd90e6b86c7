"""Rate-limited downloads with retries and exponential back-off.

urllib3 retries a request without response or with an error status, with back-off and after the pause that the
server requests (Retry-After). A download fails in one of two ways:

    Unusable      a definitive response: another request would give the same
    Unreachable   no response or an incomplete one: a later run may succeed
"""

import threading
import time

import requests
import urllib3
from pydantic import Field, PositiveFloat, PositiveInt
from requests.adapters import HTTPAdapter

import galgen
from galgen.runs.errors import Closed

__all__ = ["Downloader", "Network", "Unreachable", "Unusable"]

# Other 4xx statuses may be a ban, a rate limit or a mistake in the URL, so they are not definitive.
SETTLED_STATUSES = frozenset({404, 410})
LONGEST_PAUSE = 300  # maximum Retry-After, seconds


class Unusable(Exception):
    """A definitive failure; the message is a short reason that can be counted."""


class Unreachable(Exception):
    """All attempts failed without a definitive response; the message is a short reason as well."""


class Network(Closed):
    """Rate limit, timeout and retries of requests to a server.

    Attributes:
        rate: Requests per second, all threads together, retries not counted.
        timeout: Seconds without data after which a request is aborted.
        retries: Maximum number of retries per request.
        backoff: Back-off in seconds; the first retry is immediate, the second after twice this.
    """

    rate: float = Field(5.0, ge=1e-6)
    timeout: PositiveFloat = 30.0
    retries: PositiveInt = 5
    backoff: PositiveFloat = 1.0


class Downloader:
    """Downloads small files by URL; thread-safe.

    Args:
        network: Rate limit, timeout and retries.
        connections: Number of open connections, one per thread.
    """

    def __init__(self, network: Network, connections: int):
        self._network, self._turn = network, threading.Lock()
        retries = urllib3.Retry(
            network.retries,
            backoff_factor=network.backoff,
            retry_after_max=LONGEST_PAUSE,
            status_forcelist=frozenset(range(400, 600)) - SETTLED_STATUSES,
            raise_on_status=False,
        )
        self._session = requests.Session()
        self._session.headers["User-Agent"] = f"galgen/{galgen.__version__} (galaxy cut-outs for research)"
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, HTTPAdapter(pool_maxsize=connections, max_retries=retries))

    def get(self, url: str, max_bytes: int) -> bytes:
        """Return the response body of `url`.

        Args:
            url: URL of the file.
            max_bytes: Maximum size of the file.

        Raises:
            Unusable: If the status is 404 or 410, or the body is too large.
            Unreachable: If the last attempt gave another error status, timed out or lost the connection.
        """
        with self._turn:
            time.sleep(1 / self._network.rate)
        try:
            with self._session.get(url, stream=True, timeout=self._network.timeout) as response:
                if response.status_code in SETTLED_STATUSES:
                    raise Unusable(f"HTTP {response.status_code}")
                response.raise_for_status()
                body = response.raw.read(max_bytes + 1, decode_content=True)
        except requests.HTTPError as error:
            raise Unreachable(f"HTTP {error.response.status_code}") from error
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            raise Unreachable(f"connection failed ({type(error).__name__})") from error
        if len(body) > max_bytes:
            raise Unusable(f"over {max_bytes} bytes")
        return body
