"""The JSON of the HTTP interface, as the OpenAPI document shows it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Schema(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True, protected_namespaces=())


class Problem(Schema):
    """RFC 9457 problem details; every answer that is no success has this body."""

    type: str = Field(
        description="Stable name of the problem.", examples=["urn:affectsr:problem:corrupt-image"]
    )
    title: str = Field(description="The problem in a few words; the same for each occurrence.")
    status: int = Field(description="HTTP status of the answer, or of this image's.")
    detail: str = Field(description="What was wrong here: the value, the limit, the remedy.")
    request_id: str = Field(description="To be quoted when asking about this request.")
    retryable: bool = Field(description="Whether the very same request may succeed later.")


class Size(Schema):
    width: int = Field(description="px")
    height: int = Field(description="px")


class Resampled(Schema):
    """The image's size, and the network's grid that it was padded and resampled to."""

    from_size: Size = Field(alias="from")
    to_size: Size = Field(alias="to")


class ClassifierVersion(Schema):
    """The version that read the expressions; values of two versions cannot be compared."""

    name: str
    version: str
    sha256: str = Field(description="Digest of its weights.")


class ImageReading(Schema):
    """What the classifier reads in one image."""

    expression: str = Field(description="The likeliest one.", examples=["happy"])
    probabilities: dict[str, float] = Field(
        description="By expression; they sum to 1.",
        examples=[
            {
                "neutral": 0.02,
                "happy": 0.93,
                "sad": 0.01,
                "surprise": 0.02,
                "fear": 0.0,
                "disgust": 0.01,
                "angry": 0.01,
            }
        ],
    )
    entropy: float = Field(description="Of the probabilities, in nats: 0 is sure, 1.95 knows not.")
    landmarks: Literal["landmarker", "fallback"] = Field(
        description="What the face was aligned by; `fallback`: unsure, the mean face stood in."
    )
    landmark_confidence: float = Field(description="In [0, 1].")


class Expression(Schema):
    """The expression of a result beside that of its input."""

    classifier: ClassifierVersion
    result: ImageReading
    input: ImageReading = Field(
        description="Of what the network was given, enlarged to the result by bicubic."
    )
    agrees: bool = Field(description="Whether the likeliest expression of both is the same.")
    recoverable_probability: float | None = Field(
        description="How likely the result shows the expression of its original, which nobody has "
        "here; calibrated on held-out faces. Null where no calibration fits model and classifier."
    )
    recoverable: bool | None = Field(
        description="Whether that is at least 0.8: below, the face is too small to tell."
    )


LandmarkSource = Literal["landmarker", "mediapipe", "fallback", "none"]
Alpha = Literal["none", "kept", "on-white"]
Readout = Literal["expression", "none", "no-classifier", "failed"]


class UpscaledFields(Schema):
    """How one image was upscaled."""

    model: str = Field(description="Model version.", examples=["affectsrnet-x4@1"])
    scale: int = Field(description="Factor of the model: its output grid over its input grid.")
    landmarks: LandmarkSource = Field(
        description="Who found the landmarks; `fallback`: no sure face, the mean face stood in."
    )
    landmark_confidence: float | None = Field(description="In [0, 1]; null if the source has none.")
    input: Size = Field(description="The image, upright.")
    output: Size = Field(description="The result.")
    resampled: Resampled | None = Field(
        description="Null where the image's own pixels went into the network."
    )
    alpha: Alpha = Field(description="What became of the image's transparency.")
    media_type: str = Field(description="Of the result's file.", examples=["image/png"])
    readout: Readout = Field(
        description="`none`: not asked for; `no-classifier`: none is loaded; `failed`: the "
        "classifier gave no probabilities."
    )
    expression: Expression | None = Field(description="Null unless `readout` is `expression`.")


class UpscaleResult(UpscaledFields):
    """One upscaled image, with its file."""

    image_base64: str = Field(description="The file, base64.")


class UpscaleResultFile(UpscaledFields):
    """One upscaled image, its file beside this document in the archive."""

    file: str = Field(examples=["000.png"])


class UpscaleItem(Schema):
    """One image of several: its result or its problem."""

    index: int = Field(description="Place of the image in the request, from 0.")
    name: str | None = Field(
        None, description="Of the image's file in the archive that was sent; null if none was."
    )
    result: UpscaleResult | UpscaleResultFile | None = None
    problem: Problem | None = None


class UpscaleBatch(Schema):
    """The answer to several images, in the order of the request."""

    request_id: str
    items: list[UpscaleItem]


class FaceBox(Schema):
    """Where a face is, in px of the photo as it came; it may reach beyond its borders."""

    x: float
    y: float
    width: float
    height: float


class FaceInPhoto(Schema):
    """A face of a photo, and what became of it."""

    index: int = Field(description="From 0, the largest face.")
    box: FaceBox
    size_px: float = Field(description="Side of the face's upright crop, in px of the photo.")
    detection_confidence: float = Field(description="In [0, 1], that this is a face.")
    action: Literal["upscaled", "left-alone", "not-selected"]
    reason: str | None = Field(description="Why it is not upscaled; null if it is.")
    model: str | None = Field(description="Model version; null unless upscaled.")
    scale: int | None = Field(description="Factor of the model; null unless upscaled.")
    landmarks: LandmarkSource | None = Field(
        description="Who found the landmarks; null unless upscaled."
    )
    landmark_confidence: float | None = Field(description="In [0, 1]; null if there is none.")
    readout: Readout = Field(description="As for a crop; `none` also where nothing was upscaled.")
    expression: Expression | None = Field(description="Null unless `readout` is `expression`.")


class PhotoFields(Schema):
    """How a whole photo was upscaled."""

    mode: Literal["photo"] = "photo"
    factor: int = Field(description="The result's sides over the photo's.")
    background: Literal["lanczos"] = Field(
        "lanczos", description="How all that is no upscaled face was enlarged."
    )
    strength: float = Field(description="1: the upscaled faces; 0: the enlarged photo.")
    input: Size = Field(description="The photo, upright.")
    output: Size = Field(description="The result.")
    alpha: Alpha = Field(description="What became of the photo's transparency.")
    media_type: str = Field(description="Of the result's file.", examples=["image/png"])
    faces_found: int = Field(description="Also those beyond the bound that `faces` has.")
    notes: list[str] = Field(description="What else there is to know, in words.")
    faces: list[FaceInPhoto] = Field(description="The largest first.")


class PhotoResult(PhotoFields):
    """One upscaled photo, with its file."""

    request_id: str
    image_base64: str = Field(description="The file, base64.")


class EcmInterval(Schema):
    """95 % interval: how much the metric of sets of so many such pairs varies."""

    low: float
    high: float
    method: Literal["bootstrap", "sums"] = Field(
        description="`bootstrap` over the pairs; `sums`: a running set keeps no pairs, so it rests "
        "on the covariances that its sums hold and on a normal approximation."
    )


class Ecm(Schema):
    """The Emotion Consistency Metric of a set of pairs: 0.5 l_h + ln(l_conf). Lower is better."""

    value: float | None = Field(description="Null if `degenerate`.")
    l_h: float = Field(description="Squared differences of the probabilities' histograms.")
    l_conf: float = Field(description="Mean absolute difference of the entropies, in nats.")
    n: int = Field(description="Pairs. Compare sets of one size: l_h falls with it by chance.")
    degenerate: bool = Field(
        description="Both sides of every pair have the same entropy, so ln(l_conf) is undefined."
    )


class EcmPair(Schema):
    """One pair: what is read in either image, and how the two compare."""

    index: int = Field(description="Place of the pair in the request, from 0.")
    original: ImageReading
    super_resolved: ImageReading
    entropy_difference: float = Field(description="Absolute, in nats.")
    jensen_shannon: float = Field(description="Divergence in nats: 0 (equal) to 0.693.")
    top1_agrees: bool = Field(description="Whether the likeliest expression is the same.")
    probability_shift: dict[str, float] = Field(
        description="Super-resolved minus original, by expression."
    )
    landmark_distance: float | None = Field(
        description="Mean distance of the landmarks, in distances between the original's outer eye "
        "corners; null if a fallback stood in on either side."
    )


class AddedToSet(Schema):
    """What adding the pairs made of the running set."""

    name: str
    replayed: bool = Field(
        description="The Idempotency-Key was known: the pairs are in the set, from before."
    )
    ecm: Ecm = Field(description="Of the whole set.")


class EcmReply(Schema):
    """The answer to pairs of images."""

    request_id: str
    classifier: ClassifierVersion
    ecm: Ecm = Field(description="Of the pairs of this request.")
    interval: EcmInterval | None = Field(description="Null for one pair, or if degenerate.")
    pairs: list[EcmPair]
    set: AddedToSet | None = Field(description="Null unless the request names a set.")


class ExpressionRow(Schema):
    """The pairs of a set whose original shows one expression."""

    n: int
    kept: int = Field(description="Pairs whose result shows the same expression.")
    agreement: float | None = Field(description="kept / n; null without a pair.")
    mean_entropy_difference: float | None = Field(description="In nats; null without a pair.")
    l_h: float = Field(description="What this expression contributes to l_h.")


class EcmSet(Schema):
    """A running set."""

    name: str
    classifier: ClassifierVersion
    ecm: Ecm
    interval: EcmInterval | None = Field(description="Null for one pair, or if degenerate.")
    agreement: float = Field(description="Share of pairs whose likeliest expression is kept.")
    expressions: dict[str, ExpressionRow] = Field(description="By the original's expression.")
    expires_in_seconds: float = Field(description="Counted anew with every addition.")


class EcmSetEntry(Schema):
    name: str
    classifier: ClassifierVersion
    n: int = Field(description="Pairs.")
    expires_in_seconds: float


class EcmSetList(Schema):
    sets: list[EcmSetEntry] = Field(description="By name.")


class ModelInfo(Schema):
    """A model version that is served."""

    name: str
    version: str
    reference: str = Field(description="What the parameter `model` takes to pin this version.")
    scale: int
    input_side_px: int = Field(description="Side of the grid that images are brought to.")
    output_side_px: int
    num_parameters: int
    weights_sha256: str
    metrics: dict[str, float] = Field(description="Measured when it was published.")
    licence: str


class ClassifierInfo(ClassifierVersion):
    """The expression classifier that is loaded."""

    num_parameters: int
    expressions: list[str] = Field(description="What it tells apart, in its order.")
    metrics: dict[str, float] = Field(description="Measured when it was published.")
    licence: str


class EngineInfo(Schema):
    """What computes."""

    name: Literal["torch", "openvino", "cuda"]
    device: str = Field(examples=["cpu"])
    dtype: Literal["float32", "bfloat16"] = Field(description="Arithmetic of the upscaling.")
    passed_over: dict[str, str] = Field(
        description="Faster engines, and why each could not be had.",
        examples=[{"openvino in bfloat16": "this CPU does not compute in bfloat16"}],
    )


class ModelList(Schema):
    engine: EngineInfo
    models: list[ModelInfo]
    classifier: ClassifierInfo | None = Field(description="Null where none is loaded.")


class Health(Schema):
    status: Literal["starting", "warm", "ready", "draining", "dead"]


class StudioState(Schema):
    """What the web page shows of the process that answers it."""

    status: Literal["starting", "warm", "ready", "draining", "dead", "stalled"]
    inflight: int = Field(description="Images that are being worked on or wait.")
    capacity: int = Field(description="Images that may be at once.")
    has_photo_mode: bool = Field(description="Whether faces are found in whole photos.")


# --- the Open Inference Protocol's (V2) ---


class ServerLive(Schema):
    live: bool


class ServerReady(Schema):
    ready: bool


class ServerMetadata(Schema):
    name: str
    version: str
    extensions: list[str]


class ModelReady(Schema):
    name: str
    ready: bool


class TensorMetadata(Schema):
    name: str
    datatype: str = Field(examples=["UINT8"])
    shape: list[int] = Field(description="Rows, columns, channels; -1 where any size will do.")


class ModelMetadata(Schema):
    """One model as the protocol describes it; /v1/models tells more."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]
