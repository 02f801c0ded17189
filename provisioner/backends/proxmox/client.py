"""proxmoxer behind our one shape of a call: typed, verified, and never in the way of an exit.

proxmoxer is synchronous, so calls run on lanes of daemon threads; what Proxmox answers late (a
silent agent, anything after a 401: 3 s each) has a lane of its own and cannot starve the rest. The
law here is to know what a failure leaves behind: `Unreachable` only where nothing can have been
sent, `ReplyLost` wherever it may have been. Nothing is retried, save a read whose kept-alive
connection the server had just closed (it closes after 100 requests or 5 s). No answer is read
without end, see `bodies`.
"""

import logging
import ssl
import time
from collections.abc import Iterator, Mapping
from http.client import RemoteDisconnected
from typing import Final, TypeAlias
from urllib.parse import urlsplit

import requests
from proxmoxer.backends.https import Backend
from proxmoxer.core import ProxmoxResource, ResourceException
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from provisioner.backends.proxmox.api import (
    ApiError,
    JsonValue,
    ParamValue,
    ReplyLost,
    Unreachable,
)
from provisioner.backends.proxmox.bodies import LONGEST_REFUSAL, Bounded, Excess, longest
from provisioner.backends.proxmox.guestwords import parse
from provisioner.backends.proxmox.lanes import Closed, Lane
from provisioner.backends.proxmox.settings import ProxmoxEndpoint
from provisioner.errors import Permanent

Form: TypeAlias = dict[str, str | int | list[str]]

#: Loggers that show request bodies (keys, passwords) when they are let.
TALKATIVE: Final = ("proxmoxer", "proxmoxer.core", "proxmoxer.backends.https", "urllib3")

#: What proves that no request was sent.
_NEVER_SENT: Final = (NewConnectionError, ConnectTimeoutError, ssl.SSLCertVerificationError)


class ProxmoxerApi:
    """The API of one cluster over TLS; an `Api`. Raises Permanent when the CA file is unusable."""

    def __init__(self, endpoint: ProxmoxEndpoint) -> None:
        for name in TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        self._endpoint = endpoint
        self._tls = _tls_context(endpoint)
        where = f"proxmox {endpoint.host}:{endpoint.port}"
        self._lane = Lane(where, endpoint.threads, self._open, _Session.close)
        self._slow_lane = Lane(f"{where} slow", endpoint.slow_threads, self._open, _Session.close)
        self._refused = False

    async def call(
        self,
        method: str,
        path: str,
        params: Mapping[str, ParamValue] | None = None,
        *,
        slow: bool = False,
    ) -> JsonValue:
        """Do one call and return its `data`; see `Api.call`."""
        lane = self._slow_lane if slow or self._refused else self._lane
        form = _form(params or {})
        try:
            data = await lane.run(lambda session: session.request(method, path, form))
        except ApiError as error:
            self._refused = error.status == 401
            raise
        except Closed as error:
            raise Unreachable(str(error)) from error
        self._refused = False
        return data

    def close(self) -> None:
        """Take no more calls; those under way are left behind. Waits for nothing."""
        self._lane.close()
        self._slow_lane.close()

    def _open(self) -> "_Session":
        return _Session(self._endpoint, self._tls)


class _Session:
    """One thread's proxmoxer client and its one kept-alive connection."""

    def __init__(self, endpoint: ProxmoxEndpoint, tls: ssl.SSLContext) -> None:
        user, _, token_name = endpoint.token_id.partition("!")
        backend = Backend(
            endpoint.host,
            port=endpoint.port,
            user=user,
            token_name=token_name,
            token_value=endpoint.token_secret,
            verify_ssl=str(endpoint.ca_file) if endpoint.ca_file else _system_authorities(),
            timeout=endpoint.timeout,
        )
        self._http: requests.Session = backend.get_session()
        self._http.trust_env = False  # no proxy, .netrc or CA bundle by way of the environment
        self._http.max_redirects = 0
        self._http.mount("https://", _TlsAdapter(tls, endpoint.timeout))
        self._root = ProxmoxResource(
            base_url=backend.get_base_url(), session=self._http, serializer=_Envelope()
        )

    def request(self, method: str, path: str, form: Form) -> JsonValue:
        """Do one call on this thread, and a read once more if its connection had gone stale."""
        try:
            return self._request(method, path, form)
        except ReplyLost as error:
            if method != "GET" or not _stale_connection(error):
                raise
        return self._request(method, path, form)

    def close(self) -> None:
        self._http.close()

    def _request(self, method: str, path: str, form: Form) -> JsonValue:
        resource = self._root(path.strip("/"))
        send = {
            "GET": resource.get,
            "POST": resource.post,
            "PUT": resource.put,
            "DELETE": resource.delete,
        }[method]
        try:
            data: JsonValue = send(**form)
        except ResourceException as error:
            raise _refusal(error) from error
        except requests.TooManyRedirects as error:
            status = error.response.status_code if error.response is not None else 302
            raise ApiError(status, "redirected to another address") from error
        except Excess as error:
            raise ReplyLost(str(error)) from error
        except requests.RequestException as error:
            raise _failure(error) from error
        return data


class _TlsAdapter(HTTPAdapter):
    """Connections that trust what the context trusts, and answers that come to an end."""

    def __init__(self, context: ssl.SSLContext, seconds: float) -> None:
        self._context = context
        self._seconds = seconds
        super().__init__(pool_connections=1, pool_maxsize=1)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **kwargs: object
    ) -> None:
        """Give every connection our context."""
        kwargs["ssl_context"] = self._context
        super().init_poolmanager(connections, maxsize, block, **kwargs)

    def build_response(
        self, req: requests.PreparedRequest, resp: BaseHTTPResponse
    ) -> requests.Response:
        """Give every answer its bounds."""
        response = super().build_response(req, resp)
        most = longest(urlsplit(response.url).path)
        response.raw = Bounded(resp, most, self._seconds, time.monotonic)
        return response

    def close(self) -> None:
        """Close the sockets now; urllib3 leaves it to the garbage collector."""
        for key in self.poolmanager.pools.keys():  # noqa: SIM118 - it can't be iterated itself
            self.poolmanager.pools[key].close()
        super().close()


class _Envelope:
    """Takes Proxmox's JSON apart; what proxmoxer's own reader takes for data is refused here."""

    def loads(self, response: requests.Response) -> JsonValue:
        """Return `data`. Raises ReplyLost when a success says nothing that Proxmox would say."""
        try:
            body = parse(urlsplit(response.url).path, response.content)
        except (ValueError, RecursionError):  # what a guest says can be nested without end
            body = None
        if not (isinstance(body, dict) and "data" in body):
            raise ReplyLost(f"status {response.status_code} with an answer that is not Proxmox's")
        return body["data"]

    def loads_errors(self, response: requests.Response) -> str:
        """Return the body of a refusal as text, whatever it is."""
        return response.content[:LONGEST_REFUSAL].decode("utf-8", "replace")


def _form(params: Mapping[str, ParamValue]) -> Form:
    """Return parameters as a form has them: booleans are 0 and 1, a tuple is repeated."""
    return {
        key: int(value)
        if isinstance(value, bool)
        else list(value)
        if isinstance(value, tuple)
        else value
        for key, value in params.items()
    }


def _refusal(error: ResourceException) -> ApiError:
    """Return what Proxmox said: its words are in the reason phrase, sent as UTF-8 bytes."""
    reason = str(error.content or "").encode("latin-1", "replace").decode("utf-8", "replace")
    return ApiError(error.status_code, reason, error.errors or "")


def _failure(error: requests.RequestException) -> Unreachable | ReplyLost:
    """Say what a failed exchange leaves behind; the doubtful is a lost reply."""
    never_sent = isinstance(error, requests.ConnectTimeout) or any(
        isinstance(cause, _NEVER_SENT) for cause in _causes(error)
    )
    return (Unreachable if never_sent else ReplyLost)(_plain(error))


def _stale_connection(error: ReplyLost) -> bool:
    closed = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
    return any(isinstance(cause, closed) for cause in _causes(error))


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk through what led to `error`; urllib3 also wraps causes as arguments and `reason`."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        near = (cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args)
        waiting.extend(item for item in near if isinstance(item, BaseException))


def _plain(error: requests.RequestException) -> str:
    """Return the innermost cause in words, without the addresses of objects and parameters."""
    *_, deepest = _causes(error)
    return f"{type(deepest).__name__}: {str(deepest).split(' at 0x')[0]}"[:300]


def _tls_context(endpoint: ProxmoxEndpoint) -> ssl.SSLContext:
    """Return a context that verifies against the CA file; a pinned certificate is a CA to it."""
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
    except OSError as error:
        raise Permanent(
            f"CA file {endpoint.ca_file}: {error}; give a PEM file with the cluster's CA "
            "(/etc/pve/pve-root-ca.pem on a node) or with the very certificate"
        ) from error
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _system_authorities() -> str | bool:
    """Return the file of what this system trusts; True leaves it to requests' own."""
    return ssl.get_default_verify_paths().cafile or True
