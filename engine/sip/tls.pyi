"""SIP over TLS: PJSIP's listener with what pjsua2 leaves out, and its certificate read again.

pjsua2 opens a listener that cannot be opened again on its port while a connection stands. This one can: a renewed
certificate counts for new connections, and those that stand go on with the old one. TLS 1.2 and 1.3 alone, with the
ciphers of the system's OpenSSL. Engine thread only. Counterpart: library.py.
"""

def listen(
    address: str,
    port: int,
    public_address: str,
    certificate: str,
    key: str,
    authorities: str,
    verifies_clients: bool,
    verifies_servers: bool,
) -> None:
    """Opens it, after libInit; once for each family of addresses. `authorities`: a PEM file of those who may vouch for
    the far side. OSError: PJSIP's reason."""

def reload() -> None:
    """Reads certificate, key and authorities again. The files must have been tried: a listener that finds them broken
    stays closed. OSError then; nothing where listen() was not called."""

def forget() -> None:
    """PJSIP is gone, and its listeners with it."""
