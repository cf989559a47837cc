"""A name becomes upright RGB pixels with an identity; and a picture's metadata is read and changed.

    sources       words of the command line, and lists, become names of pictures, not yet read
    folders       what is in a folder: its pictures, and a count of what is left out
    signatures    what a file is, by its name or its first bytes
    names         which file a name means where none is called exactly that
    other_files   what a file is that is no picture vlm reads, and what can be done with it
    given         the bytes of a picture's file, whether it is a path or in memory
    images        a file becomes a picture: upright, sRGB, bounded, known by its pixels' hash
    in_memory     a picture of Pillow's becomes the bytes of a file
    known         a file that was read before becomes a picture without being decoded
    avif          AVIF files that libavif refuses are mended in memory, and cropped as they say
    bmp           Windows and OS/2 bitmaps, of every layout
    bounds        how much memory a picture may take, how large and how long it may be
    colours       a file's colours become sRGB: profiles, PNG's gamma, high dynamic range
    gif           what no frame of a GIF has covered is see-through
    jpeg_segments JPEG files are read without remarks that are damaged, or bytes between segments
    png_chunks    PNG files are read without remarks that are damaged
    depth         numbers of more than 8 bits become 8, by the bits that are used
    transparency  a see-through picture is laid on a ground on which it can be seen
    fetch         the bytes behind an address of http or https
    kept          pictures that are no files of their own, and what they are kept in
    containers    what is in an archive or a table, by name
    shards        the pictures in a tar archive, none of it unpacked
    columns       the pictures in a column of a Parquet file, row by row
    stores        objects in stores: S3, Google Cloud Storage, the Hub
    braces        names with braces that stand for several
    codings       a body that a server has packed, unpacked within bounds
    pdf           the pages of a PDF, drawn in a child process: the parent's half
    pdf_child     the half that draws
    pdf_copy      what PDFium cannot be asked about a page
    pdf_end       where a PDF ends, and whether it is cut off
    dicom         one frame of a DICOM file
    dicom_header  its header, read within bounds
    dicom_codecs  its coded pixels become numbers
    codec_child   a coded picture is decoded in a child process, bounded
    dicom_view    numbers become what a viewer shows
    dicom_overlays  planes of one bit, drawn over the picture
    tiff          which pictures a TIFF has, and each of them as 8-bit colours
    tiff_tags     a TIFF's directories, and which of them are pictures of their own
    tiff_layout   how a directory's pixels are laid out
    tiff_samples  strips and tiles become numbers
    tiff_colours  numbers become colours
    sending       pixels as text, for a server
    truncated     whether the data of a JPEG or PNG is all there
    xmp           the description, the keywords and other properties in an XMP packet
    properties    the properties of XMP by their names, and what each holds
    captions      what people have written about a picture within its file: XMP, IPTC, EXIF
    embedded      the XMP packet within a JPEG, PNG or WebP
    marking       boxes and points drawn onto a picture, and boxes cut out of it
    regions       a part of a picture, by four numbers
    offsets       where a JPEG's Exif and maker note point behind themselves, into the rest of the file

Knows files, folders, addresses, formats and metadata. Does not know models, questions or the terminal. Pillow, PDFium,
libheif, pydicom, imagecodecs and fsspec are imported here, and what they raise about a damaged file becomes an error
that names it.
"""
