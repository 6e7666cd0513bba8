"""`tls:` of switch.yaml's `sip:` -> Tls. Counterpart: engine/callflow/settings.py, which has the type and the defaults.

The files are tried with the OpenSSL that Python has, before PJSIP is told of them: it says little of what is wrong.
"""

import ssl
from pathlib import Path
from typing import Any

from engine.callflow.settings import Tls
from engine.config import scalars
from engine.config.yaml_nodes import Value


def read_tls(value: Value) -> Tls | None:
    read: dict[str, Any] = {}
    with value.section() as section:
        port, certificate, key = section.get("port"), section.need("certificate"), section.need("key")
        read["port"] = scalars.count(port, 1, 65535) if port else 5061
        if item := section.get("authorities"):
            read["authorities"] = item.text()
            _try_authorities(item)
        for name in ("verify clients", "verify servers"):
            if item := section.get(name):
                read[name.replace("verify ", "verifies_")] = scalars.yes_no(item)
    if certificate is None or key is None:
        return None
    _try_pair(certificate, key)
    return Tls(certificate=certificate.text(), key=key.text(), **read)


def _try_pair(certificate: Value, key: Value) -> None:
    for item in (certificate, key):
        if (text := item.text()) and not Path(text).is_file():
            item.complain(f"{item.label}: there is no file {text!r}")
            return
    try:
        if certificate.text() and key.text():
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate.text(), key.text())
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or str(error)
        certificate.complain(f"certificate and key cannot be used together: {str(reason).replace('_', ' ').lower()}")


def _try_authorities(value: Value) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(value.text())
    except (OSError, ValueError):
        value.complain(f"authorities: {value.text()!r} is not a file of certificates (PEM)")
