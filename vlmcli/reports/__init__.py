"""What is known about a model, a machine or one question, as values and pages. Prints nothing itself.

about    a pair of files, from its headers and for this machine: `vlm show`
kept     what is kept for later commands, by kind: `vlm cache`
doctor   an installation: checks that give findings
sight    a picture, what a model sees of it and what that costs: `vlm show PICTURE`
explain  one question's way through a model: lines, or a page
reliability  how often a model is right, by how sure it is: a diagram
"""
