"""The balloon of a libvirt domain, and the domain XML that virt-launcher writes into its log.

virt-launcher logs `Domain XML generated. Base64 dump ...` whenever it defines a domain (verbosity 2, its default); what
stands there is what libvirt was given, after every hook.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET

# What follows the dump shows that it is whole: a log may have been read up to a limit only.
_DUMP = re.compile(r"Domain XML generated\. Base64 dump ([A-Za-z0-9+/]+={0,2})(?=[^A-Za-z0-9+/=])")


@dataclass(frozen=True)
class Balloon:
    """A domain's memballoon: libvirt's model ("none": it has none), and whether FPR is on."""

    model: str
    reporting: bool


def parse_balloon(domain_xml: str) -> Balloon | None:
    """Read a domain's balloon; None for what is no domain, or says nothing of a balloon.

    libvirt leaves freePageReporting out where nobody asked for it; QEMU's own default is off.
    """
    try:
        domain = ET.fromstring(domain_xml)  # noqa: S314 - libvirt's own words; expat refuses what grows without bound
    except ET.ParseError:
        return None
    balloon = domain.find("devices/memballoon") if domain.tag == "domain" else None
    if balloon is None:
        return None
    model = balloon.get("model", "")
    return Balloon(model, model != "none" and balloon.get("freePageReporting") == "on")


def find_domain_xml(log: str) -> str | None:
    """Find the domain XML in a launcher's log: of the last domain it defined; None where no whole dump is in it."""
    dumps = _DUMP.findall(log)
    if not dumps:
        return None
    try:
        return base64.b64decode(dumps[-1], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
