"""The rows of proxies in front, whose word counts, and of TLS."""
# ruff: noqa: RUF009 - `row` makes a dataclass field, once for each class

from __future__ import annotations

from dataclasses import dataclass

from ..kinds import Choice, MaybeText, Switch, Whole
from ..lists import Pairs, Texts
from ..peers import LOOPBACK, NOBODY, Peers, TrustedPeers
from ..places import Path
from ..row import Stage, row
from ..words import FieldNames

_TLS = "let a proxy in front (nginx, HAProxy) speak TLS meanwhile"
_TLS_IDLE = "it belongs to TLS"
_ADDRESS = "the application would take the proxy for the client; read X-Forwarded-For in the application meanwhile"
SECURE_SCHEMES = (("X-FORWARDED-PROTOCOL", "ssl"), ("X-FORWARDED-PROTO", "https"), ("X-FORWARDED-SSL", "on"))


@dataclass(frozen=True)
class ProxySettings:
    """Proxies in front, and TLS"""

    forwarded_allow_ips: TrustedPeers = row(
        "forwarded_allow_ips", Peers(), LOOPBACK,
        "Peers whose forwarded fields are believed: addresses, networks, `*` for everybody. Peers that come "
        "by a Unix socket (`unix:`) are believed too, unless the list is empty.",
        env="FORWARDED_ALLOW_IPS", empty=NOBODY,
    )  # fmt: skip
    secure_scheme_headers: tuple[tuple[str, str], ...] = row(
        "secure_scheme_headers", Pairs("HEADER = value"), SECURE_SCHEMES,
        "Fields, of a trusted peer, that mean https: lines of `HEADER = value`, or JSON.",
        empty=(),
    )  # fmt: skip
    forwarder_headers: tuple[str, ...] = row(
        "forwarder_headers", FieldNames(), ("SCRIPT_NAME", "PATH_INFO"),
        "Fields with an underscore that a trusted peer may set.",
        empty=(),
    )  # fmt: skip
    trusted_proxy_headers: tuple[str, ...] = row(
        "trusted_proxy_headers", Texts(r"[,\s]"), (),
        "Fields from which the client's address is taken.",
        stage=Stage.LATER_REFUSED, advice=_ADDRESS,
    )  # fmt: skip
    trusted_proxy_count: int = row(
        "trusted_proxy_count", Whole(1), 1,
        "How many proxies in front add to these fields.",
        stage=Stage.LATER_REFUSED, advice=_ADDRESS,
    )  # fmt: skip
    proxy_protocol: str = row(
        "proxy_protocol", Choice("off", "v1", "v2", "auto", same={ "false": "off", "no": "off", "0": "off",
        "none": "off", "true": "auto", "yes": "auto", "on": "auto", "1": "auto", }), "off",
        "Whether a proxy puts a PROXY header before each connection.",
        stage=Stage.LATER_REFUSED, advice="switch it off in the proxy too",
    )  # fmt: skip
    proxy_allow_ips: TrustedPeers = row(
        "proxy_allow_ips", Peers(), LOOPBACK,
        "Peers whose PROXY header is believed.",
        also=("proxy_allow_from",), stage=Stage.LATER, advice="no PROXY header is read", empty=NOBODY,
    )  # fmt: skip
    certfile: str | None = row(
        "certfile", Path(), None,
        "Certificate; makes the listeners speak TLS.",
        stage=Stage.LATER_REFUSED, advice=_TLS,
    )  # fmt: skip
    keyfile: str | None = row(
        "keyfile", Path(), None,
        "Key of the certificate.",
        stage=Stage.LATER_REFUSED, advice=_TLS,
    )  # fmt: skip
    ca_certs: str | None = row(
        "ca_certs", Path(), None,
        "Certificates of those who vouch for clients.",
        stage=Stage.LATER_REFUSED, advice=_TLS,
    )  # fmt: skip
    cert_reqs: str = row(
        "cert_reqs", Choice("none", "optional", "required", same={ "0": "none", "1": "optional", "2":
        "required", "cert_none": "none", "cert_optional": "optional", "cert_required": "required",
        "ssl.cert_none": "none", "ssl.cert_optional": "optional", "ssl.cert_required": "required", }),
        "none",
        "Whether clients must show a certificate.",
        stage=Stage.LATER_REFUSED, advice=_TLS,
    )  # fmt: skip
    ciphers: str | None = row(
        "ciphers", MaybeText(), None,
        "Ciphers, as OpenSSL lists them.",
        stage=Stage.LATER, advice=_TLS_IDLE,
    )  # fmt: skip
    suppress_ragged_eofs: bool = row(
        "suppress_ragged_eofs", Switch(), True,
        "Take a connection that ends without TLS's goodbye for one that ended.",
        stage=Stage.LATER, advice=_TLS_IDLE,
    )  # fmt: skip
    tls_min_version: str = row(
        "tls_min_version", Choice("1.2", "1.3"), "1.2",
        "Oldest version of TLS.",
        stage=Stage.LATER, advice=_TLS_IDLE,
    )  # fmt: skip
    tls_sni: tuple[tuple[str, str], ...] = row(
        "tls_sni", Pairs("host = certificate"), (),
        "Certificates for several names.",
        stage=Stage.LATER_REFUSED, advice=_TLS,
    )  # fmt: skip
