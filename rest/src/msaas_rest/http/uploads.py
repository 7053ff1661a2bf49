"""Uploads: the request class of the app, which refuses forms that it cannot read completely."""

from flask import Request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import FormDataParser

from msaas.errors import MalformedRequest, MsaasError, UnsupportedEncoding


class UploadRequest(Request):
    """A request that raises an error for a malformed form. Flask itself takes it for an empty one."""

    def make_form_data_parser(self) -> FormDataParser:
        return FormDataParser(
            self._get_file_stream,
            max_form_memory_size=self.max_form_memory_size,
            max_content_length=self.max_content_length,
            max_form_parts=self.max_form_parts,
            cls=self.parameter_storage_class,
            silent=False,
        )

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except (MsaasError, RequestEntityTooLarge):
            raise
        except ValueError:
            raise MalformedRequest(self._form_problem()) from None

    def _form_problem(self) -> str:
        if not self.mimetype_params.get("boundary"):
            return "The Content-Type of the form has no boundary."
        return "The form is malformed, or ends before its closing boundary."


def check_content_encoding(request: Request) -> None:
    """Refuse a compressed body: bodies are not decompressed.

    Raises:
        UnsupportedEncoding: `Content-Encoding` names an encoding.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity"):
        raise UnsupportedEncoding(
            f"Content-Encoding {encoding[:64]!r} is not supported. Send the body uncompressed."
        )
