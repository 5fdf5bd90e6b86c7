"""Downloads that are polite to the server: at a limited rate, and with repeats that wait longer each time.

urllib3 repeats a request that gets no answer or an error status, with back-off and after the pause that the
server asks for (Retry-After). There are two ways to fail:

    Unusable      the server has answered: asking again would give the same answer
    Unreachable   no answer, or not the whole of it: worth a later run
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

# Other statuses of 4xx may be a ban, a limit or a mistake in the URL, so they settle nothing.
SETTLED_STATUSES = frozenset({404, 410})
LONGEST_PAUSE = 300  # seconds that the server may ask for


class Unusable(Exception):
    """A settled answer; the message is a short reason that can be counted."""


class Unreachable(Exception):
    """The server gave no answer, however often it was asked; the message is a reason as well."""


class Network(Closed):
    """How to treat a server.

    Attributes:
        rate: Requests per second, all threads together, repeats aside.
        timeout: Seconds without a byte after which a request is given up.
        retries: How often a request is repeated.
        backoff: Seconds of the back-off; the first repeat comes at once, the second after twice this.
    """

    rate: float = Field(5.0, ge=1e-6)
    timeout: PositiveFloat = 30.0
    retries: PositiveInt = 5
    backoff: PositiveFloat = 1.0


class Downloader:
    """Gets small files by URL, from any number of threads.

    Args:
        network: How to treat the server.
        connections: Connections kept open; one per thread.
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
        """Return the body of `url`.

        Args:
            url: What to get.
            max_bytes: Size above which a body cannot be the file.

        Raises:
            Unusable: 404 or 410, or too large.
            Unreachable: The last attempt ended in another status, a time-out or a broken connection.
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
