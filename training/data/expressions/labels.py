"""The words and numbers by which data sets name the seven basic expressions."""

from model_store.emotion.classifier import EMOTIONS

_SYNONYMS = {
    "anger": "angry",
    "happiness": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "disgusted": "disgust",
    "fearful": "fear",
}
# Folders of RAF-DB's release on Kaggle; the numbers of its list_patition_label.txt.
_RAFDB_NUMBERS = {
    "1": "surprise",
    "2": "fear",
    "3": "disgust",
    "4": "happy",
    "5": "sad",
    "6": "angry",
    "7": "neutral",
}


def find_expression(word: str) -> str | None:
    """Return the one of EMOTIONS that a data set's word means; None for any other word."""
    lower = word.strip().lower()
    name = _SYNONYMS.get(lower, lower)
    return name if name in EMOTIONS else None


def find_rafdb_expression(folder: str) -> str | None:
    """The same for a folder of RAF-DB, which may be a word or the set's number."""
    return _RAFDB_NUMBERS.get(folder) or find_expression(folder)
