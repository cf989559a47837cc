"""The properties of XMP that a value can go to, by names such as dc:title: their namespaces, and what each holds.

Pure: how a packet is read and written is `xmp`'s. Sources: XMP Specification Parts 1 and 2 (ISO 16684-1), the IPTC
Photo Metadata Standard for its Core and Extension, and ExifTool's tables of all of these (XMP.pm, XMP2.pl).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from vlmcli.errors import UsageError

SPACES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
}
"""Namespaces by their usual prefixes."""

TEXT, ALT, BAG, SEQ = "", "Alt", "Bag", "Seq"
"""What a property holds: one text, a text in several languages, a set, a list in its order. The names are RDF's."""

_DC = (
    "contributor", "coverage", "creator", "date", "description", "format", "identifier", "language", "publisher",
    "relation", "rights", "source", "subject", "title", "type",
)  # fmt: skip
"""All of the Dublin Core's: its list is closed. Other namespaces have properties that are not named here."""
_KINDS = {
    ALT: (
        ("dc", "description rights title"),
        ("xmpRights", "UsageTerms"),
        ("tiff", "Copyright ImageDescription"),
        ("exif", "UserComment"),
        ("Iptc4xmpCore", "AltTextAccessibility ExtDescrAccessibility"),
        ("Iptc4xmpExt", "Dopesheet Event Headline Transcript"),
    ),
    BAG: (
        ("dc", "contributor language publisher relation subject type"),
        ("xmp", "Advisory Identifier"),
        ("xmpRights", "Owner"),
        ("photoshop", "DocumentAncestors SupplementalCategories"),
        ("Iptc4xmpCore", "Scene SubjectCode"),
        (
            "Iptc4xmpExt",
            "CVterm EventId ExternalMetadataLink ModelAge OrganisationInImageCode OrganisationInImageName"
            " PersonInImage StorylineIdentifier",
        ),
    ),
    SEQ: (
        ("dc", "creator date"),
        ("exif", "ComponentsConfiguration ISOSpeedRatings SubjectArea SubjectLocation"),
        (
            "tiff",
            "BitsPerSample PrimaryChromaticities ReferenceBlackWhite TransferFunction WhitePoint YCbCrCoefficients"
            " YCbCrSubSampling",
        ),
    ),
}
"""Those that hold more than one text; all others hold one."""
_STRUCTURES = (
    ("xmp", "PageInfo Thumbnails"),
    ("photoshop", "CameraProfiles TextLayers"),
    ("exif", "CFAPattern DeviceSettingDescription Flash OECF SpatialFrequencyResponse"),
    ("Iptc4xmpCore", "CreatorContactInfo"),
    (
        "Iptc4xmpExt",
        "AboutCvTerm ArtworkOrObject ContainerFormat Contributor Creator DataOnScreen DopesheetLink EmbdEncRightsExpr"
        " Episode EventExt Genre ImageRegion LinkedEncRightsExpr LocationCreated LocationShown PersonHeard"
        " PersonInImageWDetails PlanningRef ProductInImage PublicationEvent Rating RecDevice RegistryId Season Series"
        " SnapshotLink SupplyChainSource TemporalCoverage TranscriptLink VideoShotType WorkflowTag metadataAuthority"
        " metadataLastEditor",
    ),
)
"""Those that consist of others, and hold no text themselves."""
_DATES = (
    ("dc", "date"),
    ("xmp", "CreateDate MetadataDate ModifyDate"),
    ("photoshop", "DateCreated"),
    ("exif", "DateTimeDigitized DateTimeOriginal GPSTimeStamp"),
    ("tiff", "DateTime"),
    ("Iptc4xmpExt", "IptcLastEdited metadataLastEdited"),
)
_DATE = re.compile(
    r"\d{4}(-(0[1-9]|1[0-2])(-(0[1-9]|[12]\d|3[01])"
    r"(T([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?",
    re.ASCII,
)
"""A date of XMP, which is one of ISO 8601: a year, a month, a day, or a time of one."""


@dataclass(frozen=True)
class Property:
    """A property of XMP.

    Attributes:
        prefix: of its namespace, one of `SPACES`.
        name: in that namespace.
    """

    prefix: str
    name: str

    def __str__(self) -> str:
        return f"{self.prefix}:{self.name}"

    @property
    def space(self) -> str:
        """Its namespace."""
        return SPACES[self.prefix]

    @property
    def tag(self) -> str:
        """What ElementTree calls it."""
        return f"{{{self.space}}}{self.name}"

    @property
    def kind(self) -> str:
        """What it holds: `TEXT`, `ALT`, `BAG` or `SEQ`."""
        return next((kind for kind, those in _KINDS.items() if self.is_of(those)), TEXT)

    @property
    def is_list(self) -> bool:
        """Whether it holds several values."""
        return self.kind in (BAG, SEQ)

    @property
    def is_date(self) -> bool:
        """Whether a value of it must be a date."""
        return self.is_of(_DATES)

    def is_of(self, those: tuple[tuple[str, str], ...]) -> bool:
        """Whether it is one of these: prefixes, each with names."""
        return any(self.prefix == prefix and self.name in names.split() for prefix, names in those)


DESCRIPTION, SUBJECT = Property("dc", "description"), Property("dc", "subject")


def named(text: str) -> Property:
    """The property of a name such as dc:title. Raises UsageError for what is none, or cannot hold a text."""
    prefix, _, name = text.partition(":")
    if prefix not in SPACES or not re.fullmatch(r"[A-Za-z][\w.-]*", name, re.ASCII):
        raise UsageError(
            f"{text}: not a property of XMP", f"use a prefix and a name, as in dc:title; prefixes: {', '.join(SPACES)}"
        )
    if prefix == "dc" and name not in _DC:
        raise UsageError(f"{text}: the Dublin Core does not have this property", f"it has {', '.join(_DC)}")
    found = Property(prefix, name)
    if found.is_of(_STRUCTURES):
        raise UsageError(f"{text}: this property consists of others, and cannot hold text", "choose another property")
    return found


def is_date(text: str) -> bool:
    """Whether a text is a date as XMP has it: 2026, 2026-11, 2026-11-29 or 2026-11-29T08:30."""
    return _DATE.fullmatch(text) is not None
