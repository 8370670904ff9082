"""A study: models trained and measured together, whose result is the paper's tables.

``plan`` reads what a study is, ``runs`` trains what is missing, ``measure`` measures all of it.
"""
