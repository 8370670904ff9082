"""The 68 landmarks of the iBUG 300-W markup (Sagonas et al. 2013), as a subset of the 478.

Networks that estimate landmark heatmaps were made for them; their channels are in this order. Eyes,
nose and lips have vertices of the mesh on the markup's points. For the 17 of the jaw, vertices of
the mesh's oval stand in that lie about evenly apart, for the 10 of the brows those of their upper
edges.
"""

# fmt: off
IBUG_68: tuple[int, ...] = (
    # Jaw, from the right ear by the chin to the left ear; "right" is the person's.
    127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356,
    # Right brow, left brow.
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,
    # Bridge of the nose downwards, then below the nostrils.
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    # Right eye, left eye, each from its corner at the left of the image, clockwise.
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    # Outer lips, inner lips, from the corner at the left of the image, clockwise.
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
)
# fmt: on

# Parts of the face as ranges of IBUG_68.
JAW_AND_BROWS = range(27)
NOSE = range(27, 36)
RIGHT_EYE = range(36, 42)
LEFT_EYE = range(42, 48)
MOUTH = range(48, 68)
