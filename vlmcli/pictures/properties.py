"""The properties of XMP that a value can go to, by names such as dc:title: their namespaces, and what each holds.

Pure: how a packet is read and written is `xmp`'s. Sources: XMP Specification Parts 1 and 2 (ISO 16684-1); IPTC Photo
Metadata Standard 2025.1 for its Core and Extension.
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
    "contributor coverage creator date description format identifier language publisher relation rights source subject"
    " title type"
).split()
"""All of the Dublin Core's: its list is closed. Other namespaces have properties that are not named here."""
_KINDS = {
    ALT: "dc:description dc:rights dc:title xmpRights:UsageTerms tiff:Copyright tiff:ImageDescription exif:UserComment"
    " Iptc4xmpCore:AltTextAccessibility Iptc4xmpCore:ExtDescrAccessibility Iptc4xmpExt:Event Iptc4xmpExt:Headline"
    " Iptc4xmpExt:Dopesheet Iptc4xmpExt:Transcript",
    BAG: "dc:contributor dc:language dc:publisher dc:relation dc:subject dc:type xmp:Advisory xmp:Identifier"
    " xmpRights:Owner photoshop:DocumentAncestors photoshop:SupplementalCategories Iptc4xmpCore:Scene"
    " Iptc4xmpCore:SubjectCode Iptc4xmpExt:CVterm Iptc4xmpExt:EventId Iptc4xmpExt:ExternalMetadataLink"
    " Iptc4xmpExt:ModelAge Iptc4xmpExt:OrganisationInImageCode Iptc4xmpExt:OrganisationInImageName"
    " Iptc4xmpExt:PersonInImage Iptc4xmpExt:StorylineIdentifier",
    SEQ: "dc:creator dc:date exif:ComponentsConfiguration exif:ISOSpeedRatings exif:SubjectArea exif:SubjectLocation"
    " tiff:BitsPerSample tiff:PrimaryChromaticities tiff:ReferenceBlackWhite tiff:TransferFunction tiff:WhitePoint"
    " tiff:YCbCrCoefficients tiff:YCbCrSubSampling",
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names.split()}
_STRUCTURES = frozenset(
    (
        "xmp:PageInfo xmp:Thumbnails photoshop:CameraProfiles photoshop:TextLayers exif:CFAPattern"
        " exif:DeviceSettingDescription exif:Flash exif:OECF exif:SpatialFrequencyResponse"
        " Iptc4xmpCore:CreatorContactInfo Iptc4xmpExt:AboutCvTerm Iptc4xmpExt:ArtworkOrObject"
        " Iptc4xmpExt:ContainerFormat Iptc4xmpExt:Contributor Iptc4xmpExt:Creator Iptc4xmpExt:DataOnScreen"
        " Iptc4xmpExt:DopesheetLink Iptc4xmpExt:EmbdEncRightsExpr Iptc4xmpExt:Episode Iptc4xmpExt:EventExt"
        " Iptc4xmpExt:Genre Iptc4xmpExt:ImageRegion Iptc4xmpExt:LinkedEncRightsExpr Iptc4xmpExt:LocationCreated"
        " Iptc4xmpExt:LocationShown Iptc4xmpExt:PersonHeard Iptc4xmpExt:PersonInImageWDetails Iptc4xmpExt:PlanningRef"
        " Iptc4xmpExt:ProductInImage Iptc4xmpExt:PublicationEvent Iptc4xmpExt:Rating Iptc4xmpExt:RecDevice"
        " Iptc4xmpExt:RegistryId Iptc4xmpExt:Season Iptc4xmpExt:Series Iptc4xmpExt:SnapshotLink"
        " Iptc4xmpExt:SupplyChainSource Iptc4xmpExt:TemporalCoverage Iptc4xmpExt:TranscriptLink"
        " Iptc4xmpExt:VideoShotType Iptc4xmpExt:WorkflowTag Iptc4xmpExt:metadataAuthority"
        " Iptc4xmpExt:metadataLastEditor"
    ).split()
)
"""Properties that consist of others, and hold no text themselves."""
_DATES = frozenset(
    (
        "dc:date xmp:CreateDate xmp:MetadataDate xmp:ModifyDate photoshop:DateCreated exif:DateTimeDigitized"
        " exif:DateTimeOriginal exif:GPSTimeStamp tiff:DateTime Iptc4xmpExt:IptcLastEdited"
        " Iptc4xmpExt:metadataLastEdited"
    ).split()
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
        return _KIND_OF.get(str(self), TEXT)

    @property
    def is_list(self) -> bool:
        """Whether it holds several values."""
        return self.kind in (BAG, SEQ)

    @property
    def is_date(self) -> bool:
        """Whether a value of it must be a date."""
        return str(self) in _DATES


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
    if text in _STRUCTURES:
        raise UsageError(f"{text}: this property consists of others, and cannot hold text", "choose another property")
    return Property(prefix, name)


def is_date(text: str) -> bool:
    """Whether a text is a date as XMP has it: 2026, 2026-11, 2026-11-29 or 2026-11-29T08:30."""
    return _DATE.fullmatch(text) is not None
