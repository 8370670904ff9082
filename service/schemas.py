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


class UpscaledFields(Schema):
    """How one image was upscaled."""

    model: str = Field(description="Model version.", examples=["affectsrnet-x4@1"])
    scale: int = Field(description="Factor of the model: its output grid over its input grid.")
    landmarks: Literal["landmarker", "mediapipe", "fallback", "none"] = Field(
        description="Who found the landmarks; `fallback`: no sure face, the mean face stood in."
    )
    landmark_confidence: float | None = Field(description="In [0, 1]; null if the source has none.")
    input: Size = Field(description="The image, upright.")
    output: Size = Field(description="The result.")
    resampled: Resampled | None = Field(
        description="Null where the image's own pixels went into the network."
    )
    alpha: Literal["none", "kept", "on-white"] = Field(
        description="What became of the image's transparency."
    )
    media_type: str = Field(description="Of the result's file.", examples=["image/png"])


class UpscaleResult(UpscaledFields):
    """One upscaled image, with its file."""

    image_base64: str = Field(description="The file, base64.")


class UpscaleResultFile(UpscaledFields):
    """One upscaled image, its file beside this document in the archive."""

    file: str = Field(examples=["000.png"])


class UpscaleItem(Schema):
    """One image of several: its result or its problem."""

    index: int = Field(description="Place of the image in the request, from 0.")
    result: UpscaleResult | UpscaleResultFile | None = None
    problem: Problem | None = None


class UpscaleBatch(Schema):
    """The answer to several images, in the order of the request."""

    request_id: str
    items: list[UpscaleItem]


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


class ModelList(Schema):
    models: list[ModelInfo]


class Health(Schema):
    status: Literal["starting", "warm", "ready", "draining", "dead"]


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
