"""`vlm chat`: the command, the loop over a terminal's or a pipe's lines, and the commands that begin with a slash."""
