"""Compare how vlm reads the pictures of a folder with how other programs read them.

    python -m tests.corpus DIR                                  # every picture, PDF and DICOM file below DIR
    python -m tests.corpus DIR --only '*.tif' --only '*.tiff'   # only these names
    python -m tests.corpus DIR --jobs 4 --json records.jsonl    # four at a time, and a record of each file

DIR can be the test files of any other project: a checkout of Pillow, pdf.js or pydicom, or your own photos. Nothing is
written there. Each file is loaded through the door that users have (`vlmcli.pictures.sources` and `images.load`), in a
child process with a bound on its time and memory, and is then read by another program where one is installed:

    ImageMagick   JPEG, PNG, GIF, BMP, TIFF, WebP, AVIF, HEIC: upright, sRGB, on white
    pdftoppm      PDF, with pdfinfo for the number of pages (Poppler)
    dcm2pnm       DICOM, or dcmj2pnm and dcml2pnm for the transfer syntaxes it lacks (DCMTK)
    exiftool      the size of a picture after its orientation, where no other program decodes it

A line on stdout for each file that needs a look, then a summary by format. A file is

    alike         the same number of pages, the same size, and differences up to --threshold and --spot (of 255)
    differs       in pages, size, colours, or in the colour of a spot, as where a form's field is blank
    refused       vlm refuses what the other program reads
    only vlm      vlm reads what the other program refuses
    neither       both refuse it
    not compared  vlm reads it, and no program is installed that could be compared
    fault         vlm raised what is no named error, died, or took too long

The difference is the mean over all pixels, of each channel, after both pictures are scaled to 64 pixels on the longer
side, and again in full where their sizes agree; a spot is one pixel of the scaled picture. A difference is a question,
not a verdict: other programs have faults of their own, ignore colour profiles, or draw a font another way. Look at
both before you believe either. The exit code is 0 if no file differs, is refused or is a fault, otherwise 1.

Modules: `reader` is the child that runs vlm, `references` runs the other programs, `compare` measures, `__main__` is
the command.
"""
