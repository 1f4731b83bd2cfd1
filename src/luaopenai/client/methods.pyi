"""Made by `make stubs` from client/endpoints.py: the types of the methods that methods.py makes."""

import os
from collections.abc import Mapping
from typing import IO, Any, Literal, TypeAlias, overload

from luaopenai.client.aio import AsyncCall, Plain
from luaopenai.client.async_iterators import AsyncStream
from luaopenai.client.endpoints import Endpoint
from luaopenai.client.iterators import Stream
from luaopenai.client.openai import Response

FileInput: TypeAlias = (
    str | os.PathLike[str] | tuple[str, str | bytes] | Mapping[str, Any] | IO[bytes]
)

BY_HAND: tuple[str, ...]

def parameter_names(endpoint: Endpoint) -> list[str]: ...

class EndpointMethods:
    def response(self, response_id: str) -> Response:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    def delete_response(self, response_id: str) -> Response:
        """Deletes a stored response.

        ``DELETE /responses/{response_id}``
        """
    def cancel_response(self, response_id: str) -> Response:
        """Cancels a response that is being made.

        ``POST /responses/{response_id}/cancel``
        """
    def create_conversation(self, **opts: Any) -> Response:
        """Creates a conversation, which keeps the history of responses on the server.

        ``POST /conversations``
        """
    def conversation(self, conversation_id: str) -> Response:
        """Returns a conversation.

        ``GET /conversations/{conversation_id}``
        """
    def update_conversation(self, conversation_id: str, **opts: Any) -> Response:
        """Changes a conversation, its ``metadata`` for instance.

        ``POST /conversations/{conversation_id}``
        """
    def delete_conversation(self, conversation_id: str) -> Response:
        """Deletes a conversation, not its items.

        ``DELETE /conversations/{conversation_id}``
        """
    def conversation_items(self, conversation_id: str, **opts: Any) -> Response:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def add_conversation_items(self, conversation_id: str, items: list[dict[str, Any]]) -> Response:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def conversation_item(self, conversation_id: str, item_id: str) -> Response:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def delete_conversation_item(self, conversation_id: str, item_id: str) -> Response:
        """Deletes an item of a conversation.

        ``DELETE /conversations/{conversation_id}/items/{item_id}``
        """
    @overload
    def completion(
        self, prompt: str | list[str], *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    @overload
    def completion(self, prompt: str | list[str], **opts: Any) -> Response:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    def embedding(self, input: str | list[Any], **opts: Any) -> Response:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def moderation(self, input: str | list[Any], **opts: Any) -> Response:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def image_generation(self, **opts: Any) -> Response:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    def image_edit(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Response:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    def audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def transcription(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def models(self) -> Response:
        """Lists the models.

        ``GET /models``
        """
    def files(self) -> Response:
        """Lists the uploaded files.

        ``GET /files``
        """
    def upload_file(self, file: FileInput, purpose: str, **opts: Any) -> Response:
        """Uploads a file.

        ``POST /files``
        """
    def create_file(self, file: FileInput, purpose: str, **opts: Any) -> Response:
        """Uploads a file.

        ``POST /files``
        """
    def file(self, file_id: str) -> Response:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def file_content(self, file_id: str) -> Response:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def delete_file(self, file_id: str) -> Response:
        """Deletes a file.

        ``DELETE /files/{file_id}``
        """
    def create_batch(self, input_file_id: str, endpoint: str, **opts: Any) -> Response:
        """Has the requests in an uploaded file answered within a day, for less money.

        ``POST /batches``
        """
    def batch(self, batch_id: str) -> Response:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def cancel_batch(self, batch_id: str) -> Response:
        """Cancels a batch.

        ``POST /batches/{batch_id}/cancel``
        """
    def batches(self, **opts: Any) -> Response:
        """Lists the batches.

        ``GET /batches``
        """
    def assistants(self) -> Response:
        """Lists the assistants.

        ``GET /assistants``
        """
    def threads(self) -> Response:
        """Lists the threads.

        ``GET /threads``
        """
    def thread_messages(self, thread_id: str) -> Response:
        """Lists the messages of a thread.

        ``GET /threads/{thread_id}/messages``
        """
    def delete_thread(self, thread_id: str) -> Response:
        """Deletes a thread.

        ``DELETE /threads/{thread_id}``
        """

class AsyncEndpointMethods:
    def response(self, response_id: str) -> Plain:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    def delete_response(self, response_id: str) -> Plain:
        """Deletes a stored response.

        ``DELETE /responses/{response_id}``
        """
    def cancel_response(self, response_id: str) -> Plain:
        """Cancels a response that is being made.

        ``POST /responses/{response_id}/cancel``
        """
    def create_conversation(self, **opts: Any) -> Plain:
        """Creates a conversation, which keeps the history of responses on the server.

        ``POST /conversations``
        """
    def conversation(self, conversation_id: str) -> Plain:
        """Returns a conversation.

        ``GET /conversations/{conversation_id}``
        """
    def update_conversation(self, conversation_id: str, **opts: Any) -> Plain:
        """Changes a conversation, its ``metadata`` for instance.

        ``POST /conversations/{conversation_id}``
        """
    def delete_conversation(self, conversation_id: str) -> Plain:
        """Deletes a conversation, not its items.

        ``DELETE /conversations/{conversation_id}``
        """
    def conversation_items(self, conversation_id: str, **opts: Any) -> Plain:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def add_conversation_items(self, conversation_id: str, items: list[dict[str, Any]]) -> Plain:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def conversation_item(self, conversation_id: str, item_id: str) -> Plain:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def delete_conversation_item(self, conversation_id: str, item_id: str) -> Plain:
        """Deletes an item of a conversation.

        ``DELETE /conversations/{conversation_id}/items/{item_id}``
        """
    @overload
    def completion(
        self, prompt: str | list[str], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    @overload
    def completion(self, prompt: str | list[str], **opts: Any) -> Plain:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    def embedding(self, input: str | list[Any], **opts: Any) -> Plain:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def moderation(self, input: str | list[Any], **opts: Any) -> Plain:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def image_generation(self, **opts: Any) -> Plain:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    def image_edit(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Plain:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    def audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def transcription(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def models(self) -> Plain:
        """Lists the models.

        ``GET /models``
        """
    def files(self) -> Plain:
        """Lists the uploaded files.

        ``GET /files``
        """
    def upload_file(self, file: FileInput, purpose: str, **opts: Any) -> Plain:
        """Uploads a file.

        ``POST /files``
        """
    def create_file(self, file: FileInput, purpose: str, **opts: Any) -> Plain:
        """Uploads a file.

        ``POST /files``
        """
    def file(self, file_id: str) -> Plain:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def file_content(self, file_id: str) -> Plain:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def delete_file(self, file_id: str) -> Plain:
        """Deletes a file.

        ``DELETE /files/{file_id}``
        """
    def create_batch(self, input_file_id: str, endpoint: str, **opts: Any) -> Plain:
        """Has the requests in an uploaded file answered within a day, for less money.

        ``POST /batches``
        """
    def batch(self, batch_id: str) -> Plain:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def cancel_batch(self, batch_id: str) -> Plain:
        """Cancels a batch.

        ``POST /batches/{batch_id}/cancel``
        """
    def batches(self, **opts: Any) -> Plain:
        """Lists the batches.

        ``GET /batches``
        """
    def assistants(self) -> Plain:
        """Lists the assistants.

        ``GET /assistants``
        """
    def threads(self) -> Plain:
        """Lists the threads.

        ``GET /threads``
        """
    def thread_messages(self, thread_id: str) -> Plain:
        """Lists the messages of a thread.

        ``GET /threads/{thread_id}/messages``
        """
    def delete_thread(self, thread_id: str) -> Plain:
        """Deletes a thread.

        ``DELETE /threads/{thread_id}``
        """
