"""What POST /v1/upscale answers in photo mode: the photo itself, or JSON, and the headers."""

import base64

from fastapi.responses import JSONResponse, Response

from service.photo import PhotoFile
from service.routes.upscale_reply import JSON
from service.schemas import PhotoResult


def reply_with_photo(photo: PhotoFile, reply_type: str, *, request_id: str) -> Response:
    """A photo as itself, or as JSON with what became of each face."""
    fields = photo.fields
    if reply_type == JSON:
        encoded = base64.b64encode(photo.data).decode("ascii")
        result = PhotoResult(request_id=request_id, image_base64=encoded, **dict(fields))
        response: Response = JSONResponse(result.model_dump(mode="json"))
    else:
        response = Response(photo.data, media_type=reply_type)
    num_upscaled = sum(face.action == "upscaled" for face in fields.faces)
    response.headers["X-AffectSR-Mode"] = "photo"
    response.headers["X-AffectSR-Faces"] = str(fields.faces_found)
    response.headers["X-AffectSR-Faces-Upscaled"] = str(num_upscaled)
    response.headers["X-AffectSR-Factor"] = str(fields.factor)
    response.headers["X-AffectSR-Alpha"] = fields.alpha
    if fields.notes:
        response.headers["X-AffectSR-Note"] = "; ".join(fields.notes)
    return response
