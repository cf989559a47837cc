"""Everything that a person or a pipe sees: the only printer.

    ui          what a command says, asks and writes: data on stdout, everything else on stderr
    show        how the outcomes of a run appear, and when
    door        the one way of text to a terminal: what is not ours is shown, and not obeyed
    streams     what standard streams can do and take
    markdown    an answer's text, while it comes, as pieces
    rendered    such pieces as a terminal shows them
    lineedit    lines that are typed or piped
    thumbnails  small pictures inside a terminal
    clipboard   its picture, and a text put there

Knows streams, widths, colours and Markdown. Does not know options or models' files.
"""
