# ruff: noqa: E501
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
    def list_chat_completions(self, **opts: Any) -> Response:
        """Lists the stored chat completions.

        ``GET /chat/completions``
        """
    def retrieve_chat_completion(self, completion_id: str) -> Response:
        """Returns a stored chat completion.

        ``GET /chat/completions/{completion_id}``
        """
    def update_chat_completion(
        self, completion_id: str, metadata: dict[str, str], **opts: Any
    ) -> Response:
        """Changes the metadata of a stored chat completion.

        ``POST /chat/completions/{completion_id}``
        """
    def delete_chat_completion(self, completion_id: str) -> Response:
        """Deletes a stored chat completion.

        ``DELETE /chat/completions/{completion_id}``
        """
    def list_chat_completion_messages(self, completion_id: str, **opts: Any) -> Response:
        """Lists the messages of a stored chat completion.

        ``GET /chat/completions/{completion_id}/messages``
        """
    @overload
    def retrieve_response(
        self, response_id: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def retrieve_response(self, response_id: str, **opts: Any) -> Response:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def response(
        self, response_id: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def response(self, response_id: str, **opts: Any) -> Response:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    def delete_response(self, response_id: str) -> Response:
        """Deletes a stored response.

        ``DELETE /responses/{response_id}``
        """
    def cancel_response(self, response_id: str) -> Response:
        """Cancels a response that is being made in the background.

        ``POST /responses/{response_id}/cancel``
        """
    def compact_response(self, **opts: Any) -> Response:
        """Shortens a history for the responses that follow.

        ``POST /responses/compact``
        """
    def list_response_input_items(self, response_id: str, **opts: Any) -> Response:
        """Lists the items that a response was made from.

        ``GET /responses/{response_id}/input_items``
        """
    def count_response_input_tokens(self, **opts: Any) -> Response:
        """Counts the tokens of what would be the input of a response.

        ``POST /responses/input_tokens``
        """
    def create_conversation(self, **opts: Any) -> Response:
        """Creates a conversation, which keeps the history of responses on the server.

        ``POST /conversations``
        """
    def retrieve_conversation(self, conversation_id: str) -> Response:
        """Returns a conversation.

        ``GET /conversations/{conversation_id}``
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
    def list_conversation_items(self, conversation_id: str, **opts: Any) -> Response:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def conversation_items(self, conversation_id: str, **opts: Any) -> Response:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def create_conversation_item(
        self, conversation_id: str, items: list[dict[str, Any]]
    ) -> Response:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def add_conversation_items(self, conversation_id: str, items: list[dict[str, Any]]) -> Response:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def retrieve_conversation_item(
        self, conversation_id: str, item_id: str, **opts: Any
    ) -> Response:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def conversation_item(self, conversation_id: str, item_id: str, **opts: Any) -> Response:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def delete_conversation_item(self, conversation_id: str, item_id: str) -> Response:
        """Deletes an item of a conversation.

        ``DELETE /conversations/{conversation_id}/items/{item_id}``
        """
    @overload
    def create_completion(
        self, prompt: str | list[str], *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    @overload
    def create_completion(self, prompt: str | list[str], **opts: Any) -> Response:
        """Completes a text, with models of the old kind.

        ``POST /completions``
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
    def create_embedding(self, input: str | list[Any], **opts: Any) -> Response:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def embedding(self, input: str | list[Any], **opts: Any) -> Response:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def create_moderation(self, input: str | list[Any], **opts: Any) -> Response:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def moderation(self, input: str | list[Any], **opts: Any) -> Response:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def create_decision(
        self, input: str | list[Any], model: str, questions: list[dict[str, Any]], **opts: Any
    ) -> Response:
        """Answers questions about an input.

        ``POST /decisions``
        """
    @overload
    def generate_image(self, *, stream: Literal[True], **opts: Any) -> Stream[dict[str, Any]]:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def generate_image(self, **opts: Any) -> Response:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def image_generation(self, *, stream: Literal[True], **opts: Any) -> Stream[dict[str, Any]]:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def image_generation(self, **opts: Any) -> Response:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def edit_image(
        self, image: FileInput | list[FileInput], prompt: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def edit_image(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Response:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def image_edit(
        self, image: FileInput | list[FileInput], prompt: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def image_edit(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Response:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    def create_image_variation(self, image: FileInput | list[FileInput], **opts: Any) -> Response:
        """Makes variations of an image.

        ``POST /images/variations``
        """
    def create_content_provenance_check(self, file: FileInput, **opts: Any) -> Response:
        """Says whether a file was made by a model.

        ``POST /content_provenance_checks``
        """
    def create_audio_speech(
        self, input: str | list[Any], model: str, voice: str | dict[str, str], **opts: Any
    ) -> Response:
        """Speaks a text: the answer is a sound file.

        ``POST /audio/speech``
        """
    @overload
    def create_audio_transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def create_audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def audio_transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> Stream[dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def transcription(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def create_audio_translation(self, file: FileInput, model: str, **opts: Any) -> Response:
        """Writes down in English what is said in a sound file.

        ``POST /audio/translations``
        """
    def create_audio_voice(self, name: str, **opts: Any) -> Response:
        """Makes a voice from a sample of one.

        ``POST /audio/voices``
        """
    def delete_audio_voice(self, voice_id: str) -> Response:
        """Deletes a voice.

        ``DELETE /audio/voices/{voice_id}``
        """
    def create_audio_voice_consent(
        self, name: str, language: str, recording: FileInput, **opts: Any
    ) -> Response:
        """Uploads a speaker's consent to a copy of the voice.

        ``POST /audio/voice_consents``
        """
    def list_audio_voice_consents(self, **opts: Any) -> Response:
        """Lists the consents.

        ``GET /audio/voice_consents``
        """
    def retrieve_audio_voice_consent(self, consent_id: str) -> Response:
        """Returns what is known of a consent.

        ``GET /audio/voice_consents/{consent_id}``
        """
    def update_audio_voice_consent(self, consent_id: str, name: str, **opts: Any) -> Response:
        """Renames a consent.

        ``POST /audio/voice_consents/{consent_id}``
        """
    def delete_audio_voice_consent(self, consent_id: str) -> Response:
        """Deletes a consent.

        ``DELETE /audio/voice_consents/{consent_id}``
        """
    def create_video(self, prompt: str, **opts: Any) -> Response:
        """Begins to make a video from a prompt.

        ``POST /videos``
        """
    def list_videos(self, **opts: Any) -> Response:
        """Lists the videos.

        ``GET /videos``
        """
    def retrieve_video(self, video_id: str) -> Response:
        """Returns a video's state and how far it is.

        ``GET /videos/{video_id}``
        """
    def download_video_content(self, video_id: str, **opts: Any) -> Response:
        """Returns the video itself.

        ``GET /videos/{video_id}/content``
        """
    def delete_video(self, video_id: str) -> Response:
        """Deletes a video.

        ``DELETE /videos/{video_id}``
        """
    def edit_video(self, prompt: str, video: FileInput, **opts: Any) -> Response:
        """Begins to change a video.

        ``POST /videos/edits``
        """
    def extend_video(self, prompt: str, seconds: str, video: FileInput, **opts: Any) -> Response:
        """Begins to make a video longer.

        ``POST /videos/extensions``
        """
    def remix_video(self, video_id: str, prompt: str, **opts: Any) -> Response:
        """Begins to make another version of a video.

        ``POST /videos/{video_id}/remix``
        """
    def create_video_character(self, name: str, video: FileInput, **opts: Any) -> Response:
        """Takes a character for further videos from one.

        ``POST /videos/characters``
        """
    def get_video_character(self, character_id: str) -> Response:
        """Returns a character.

        ``GET /videos/characters/{character_id}``
        """
    def list_models(self, **opts: Any) -> Response:
        """Lists the models.

        ``GET /models``
        """
    def models(self, **opts: Any) -> Response:
        """Lists the models.

        ``GET /models``
        """
    def retrieve_model(self, model: str) -> Response:
        """Returns what is known of a model.

        ``GET /models/{model}``
        """
    def delete_model(self, model: str) -> Response:
        """Deletes a fine-tuned model.

        ``DELETE /models/{model}``
        """
    def create_file(self, file: FileInput, purpose: str, **opts: Any) -> Response:
        """Uploads a file.

        ``POST /files``
        """
    def upload_file(self, file: FileInput, purpose: str, **opts: Any) -> Response:
        """Uploads a file.

        ``POST /files``
        """
    def list_files(self, **opts: Any) -> Response:
        """Lists the uploaded files.

        ``GET /files``
        """
    def files(self, **opts: Any) -> Response:
        """Lists the uploaded files.

        ``GET /files``
        """
    def retrieve_file(self, file_id: str) -> Response:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def file(self, file_id: str) -> Response:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def retrieve_file_content(self, file_id: str) -> Response:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def file_content(self, file_id: str) -> Response:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def delete_file(self, file_id: str) -> Response:
        """Deletes a file.

        ``DELETE /files/{file_id}``
        """
    def create_upload(
        self, bytes: int, filename: str, mime_type: str, purpose: str, **opts: Any
    ) -> Response:
        """Begins the upload of a large file, which follows in parts.

        ``POST /uploads``
        """
    def create_upload_part(self, upload_id: str, data: FileInput, **opts: Any) -> Response:
        """Uploads a part of a large file.

        ``POST /uploads/{upload_id}/parts``
        """
    def complete_upload(self, upload_id: str, part_ids: list[str], **opts: Any) -> Response:
        """Makes a file of the parts of an upload.

        ``POST /uploads/{upload_id}/complete``
        """
    def cancel_upload(self, upload_id: str) -> Response:
        """Cancels an upload.

        ``POST /uploads/{upload_id}/cancel``
        """
    def create_batch(self, input_file_id: str, endpoint: str, **opts: Any) -> Response:
        """Has the requests in an uploaded file answered within a day, for less money.

        ``POST /batches``
        """
    def list_batches(self, **opts: Any) -> Response:
        """Lists the batches.

        ``GET /batches``
        """
    def batches(self, **opts: Any) -> Response:
        """Lists the batches.

        ``GET /batches``
        """
    def retrieve_batch(self, batch_id: str) -> Response:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def batch(self, batch_id: str) -> Response:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def cancel_batch(self, batch_id: str) -> Response:
        """Cancels a batch.

        ``POST /batches/{batch_id}/cancel``
        """
    def create_vector_store(self, **opts: Any) -> Response:
        """Creates a vector store.

        ``POST /vector_stores``
        """
    def list_vector_stores(self, **opts: Any) -> Response:
        """Lists the vector stores.

        ``GET /vector_stores``
        """
    def retrieve_vector_store(self, vector_store_id: str) -> Response:
        """Returns a vector store.

        ``GET /vector_stores/{vector_store_id}``
        """
    def update_vector_store(self, vector_store_id: str, **opts: Any) -> Response:
        """Changes a vector store, its ``name`` for instance.

        ``POST /vector_stores/{vector_store_id}``
        """
    def delete_vector_store(self, vector_store_id: str) -> Response:
        """Deletes a vector store, not its files.

        ``DELETE /vector_stores/{vector_store_id}``
        """
    def search_vector_store(
        self, vector_store_id: str, query: str | list[str], **opts: Any
    ) -> Response:
        """Finds the passages of a vector store that are nearest to a query.

        ``POST /vector_stores/{vector_store_id}/search``
        """
    def create_vector_store_file(self, vector_store_id: str, file_id: str, **opts: Any) -> Response:
        """Adds an uploaded file to a vector store.

        ``POST /vector_stores/{vector_store_id}/files``
        """
    def list_vector_store_files(self, vector_store_id: str, **opts: Any) -> Response:
        """Lists the files of a vector store.

        ``GET /vector_stores/{vector_store_id}/files``
        """
    def retrieve_vector_store_file(self, vector_store_id: str, file_id: str) -> Response:
        """Returns a file of a vector store and how far it is.

        ``GET /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def update_vector_store_file(
        self, vector_store_id: str, file_id: str, attributes: dict[str, Any], **opts: Any
    ) -> Response:
        """Changes the attributes of a file of a vector store.

        ``POST /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def delete_vector_store_file(self, vector_store_id: str, file_id: str) -> Response:
        """Takes a file out of a vector store; the file itself stays.

        ``DELETE /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def retrieve_vector_store_file_content(
        self, vector_store_id: str, file_id: str, **opts: Any
    ) -> Response:
        """Lists the text of a file of a vector store, piece by piece.

        ``GET /vector_stores/{vector_store_id}/files/{file_id}/content``
        """
    def create_vector_store_file_batch(self, vector_store_id: str, **opts: Any) -> Response:
        """Adds many files to a vector store.

        ``POST /vector_stores/{vector_store_id}/file_batches``
        """
    def retrieve_vector_store_file_batch(self, vector_store_id: str, batch_id: str) -> Response:
        """Returns how far the files are that were added together.

        ``GET /vector_stores/{vector_store_id}/file_batches/{batch_id}``
        """
    def cancel_vector_store_file_batch(self, vector_store_id: str, batch_id: str) -> Response:
        """Cancels the adding of many files.

        ``POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel``
        """
    def list_vector_store_file_batch_files(
        self, vector_store_id: str, batch_id: str, **opts: Any
    ) -> Response:
        """Lists the files that were added together.

        ``GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files``
        """
    def create_container(self, name: str, **opts: Any) -> Response:
        """Creates a container.

        ``POST /containers``
        """
    def list_containers(self, **opts: Any) -> Response:
        """Lists the containers.

        ``GET /containers``
        """
    def retrieve_container(self, container_id: str) -> Response:
        """Returns a container.

        ``GET /containers/{container_id}``
        """
    def delete_container(self, container_id: str) -> Response:
        """Deletes a container.

        ``DELETE /containers/{container_id}``
        """
    def create_container_file(self, container_id: str, **opts: Any) -> Response:
        """Puts a file, or an uploaded one by its id, into a container.

        ``POST /containers/{container_id}/files``
        """
    def list_container_files(self, container_id: str, **opts: Any) -> Response:
        """Lists the files of a container.

        ``GET /containers/{container_id}/files``
        """
    def retrieve_container_file(self, container_id: str, file_id: str) -> Response:
        """Returns what is known of such a file.

        ``GET /containers/{container_id}/files/{file_id}``
        """
    def retrieve_container_file_content(self, container_id: str, file_id: str) -> Response:
        """Returns what is in a file of a container.

        ``GET /containers/{container_id}/files/{file_id}/content``
        """
    def delete_container_file(self, container_id: str, file_id: str) -> Response:
        """Deletes a file of a container.

        ``DELETE /containers/{container_id}/files/{file_id}``
        """
    def create_fine_tuning_job(self, model: str, training_file: str, **opts: Any) -> Response:
        """Begins to fine-tune a model.

        ``POST /fine_tuning/jobs``
        """
    def list_fine_tuning_jobs(self, **opts: Any) -> Response:
        """Lists the fine-tuning jobs.

        ``GET /fine_tuning/jobs``
        """
    def retrieve_fine_tuning_job(self, fine_tuning_job_id: str) -> Response:
        """Returns a fine-tuning job and how far it is.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}``
        """
    def cancel_fine_tuning_job(self, fine_tuning_job_id: str) -> Response:
        """Cancels a fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel``
        """
    def pause_fine_tuning_job(self, fine_tuning_job_id: str) -> Response:
        """Pauses a fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/pause``
        """
    def resume_fine_tuning_job(self, fine_tuning_job_id: str) -> Response:
        """Goes on with a paused fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/resume``
        """
    def list_fine_tuning_job_events(self, fine_tuning_job_id: str, **opts: Any) -> Response:
        """Lists what has happened in a fine-tuning job.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/events``
        """
    def list_fine_tuning_job_checkpoints(self, fine_tuning_job_id: str, **opts: Any) -> Response:
        """Lists the checkpoints of a fine-tuning job.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``
        """
    def create_fine_tuning_checkpoint_permission(
        self, fine_tuned_model_checkpoint: str, project_ids: list[str], **opts: Any
    ) -> Response:
        """Lets projects use a checkpoint.

        ``POST /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions``
        """
    def list_fine_tuning_checkpoint_permissions(
        self, fine_tuned_model_checkpoint: str, **opts: Any
    ) -> Response:
        """Lists which projects may use a checkpoint.

        ``GET /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions``
        """
    def delete_fine_tuning_checkpoint_permission(
        self, fine_tuned_model_checkpoint: str, permission_id: str
    ) -> Response:
        """Takes a permission back.

        ``DELETE /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}``
        """
    def run_fine_tuning_alpha_grader(
        self, grader: dict[str, Any], model_sample: str, **opts: Any
    ) -> Response:
        """Grades a sample of a model.

        ``POST /fine_tuning/alpha/graders/run``
        """
    def validate_fine_tuning_alpha_grader(self, grader: dict[str, Any], **opts: Any) -> Response:
        """Says whether a grader is a valid one.

        ``POST /fine_tuning/alpha/graders/validate``
        """
    def create_eval(
        self,
        data_source_config: dict[str, Any],
        testing_criteria: list[dict[str, Any]],
        **opts: Any,
    ) -> Response:
        """Creates an eval.

        ``POST /evals``
        """
    def list_evals(self, **opts: Any) -> Response:
        """Lists the evals.

        ``GET /evals``
        """
    def retrieve_eval(self, eval_id: str) -> Response:
        """Returns an eval.

        ``GET /evals/{eval_id}``
        """
    def update_eval(self, eval_id: str, **opts: Any) -> Response:
        """Changes an eval, its ``name`` for instance.

        ``POST /evals/{eval_id}``
        """
    def delete_eval(self, eval_id: str) -> Response:
        """Deletes an eval.

        ``DELETE /evals/{eval_id}``
        """
    def create_eval_run(self, eval_id: str, data_source: dict[str, Any], **opts: Any) -> Response:
        """Begins to run an eval.

        ``POST /evals/{eval_id}/runs``
        """
    def list_eval_runs(self, eval_id: str, **opts: Any) -> Response:
        """Lists the runs of an eval.

        ``GET /evals/{eval_id}/runs``
        """
    def retrieve_eval_run(self, eval_id: str, run_id: str) -> Response:
        """Returns a run of an eval and how far it is.

        ``GET /evals/{eval_id}/runs/{run_id}``
        """
    def cancel_eval_run(self, eval_id: str, run_id: str) -> Response:
        """Cancels a run of an eval.

        ``POST /evals/{eval_id}/runs/{run_id}/cancel``
        """
    def delete_eval_run(self, eval_id: str, run_id: str) -> Response:
        """Deletes a run of an eval.

        ``DELETE /evals/{eval_id}/runs/{run_id}``
        """
    def list_eval_run_output_items(self, eval_id: str, run_id: str, **opts: Any) -> Response:
        """Lists what came of each item in a run of an eval.

        ``GET /evals/{eval_id}/runs/{run_id}/output_items``
        """
    def retrieve_eval_run_output_item(
        self, eval_id: str, run_id: str, output_item_id: str
    ) -> Response:
        """Returns what came of an item in a run of an eval.

        ``GET /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}``
        """
    def create_skill(self, **opts: Any) -> Response:
        """Uploads a skill, all of its files at once.

        ``POST /skills``
        """
    def list_skills(self, **opts: Any) -> Response:
        """Lists the skills.

        ``GET /skills``
        """
    def retrieve_skill(self, skill_id: str) -> Response:
        """Returns what is known of a skill.

        ``GET /skills/{skill_id}``
        """
    def update_skill(self, skill_id: str, default_version: str, **opts: Any) -> Response:
        """Says which version of a skill is in use.

        ``POST /skills/{skill_id}``
        """
    def delete_skill(self, skill_id: str) -> Response:
        """Deletes a skill.

        ``DELETE /skills/{skill_id}``
        """
    def retrieve_skill_content(self, skill_id: str) -> Response:
        """Returns the files of a skill as one archive.

        ``GET /skills/{skill_id}/content``
        """
    def create_skill_version(self, skill_id: str, **opts: Any) -> Response:
        """Uploads another version of a skill.

        ``POST /skills/{skill_id}/versions``
        """
    def list_skill_versions(self, skill_id: str, **opts: Any) -> Response:
        """Lists the versions of a skill.

        ``GET /skills/{skill_id}/versions``
        """
    def retrieve_skill_version(self, skill_id: str, version: str) -> Response:
        """Returns what is known of a version of a skill.

        ``GET /skills/{skill_id}/versions/{version}``
        """
    def delete_skill_version(self, skill_id: str, version: str) -> Response:
        """Deletes a version of a skill.

        ``DELETE /skills/{skill_id}/versions/{version}``
        """
    def retrieve_skill_version_content(self, skill_id: str, version: str) -> Response:
        """Returns the files of a version as one archive.

        ``GET /skills/{skill_id}/versions/{version}/content``
        """
    def create_webhook(self, event_types: list[str], name: str, url: str, **opts: Any) -> Response:
        """Has a URL told of events.

        ``POST /webhook_endpoints``
        """
    def list_webhooks(self, **opts: Any) -> Response:
        """Lists the webhooks.

        ``GET /webhook_endpoints``
        """
    def retrieve_webhook(self, webhook_endpoint_id: str) -> Response:
        """Returns a webhook.

        ``GET /webhook_endpoints/{webhook_endpoint_id}``
        """
    def update_webhook(self, webhook_endpoint_id: str, **opts: Any) -> Response:
        """Changes a webhook.

        ``POST /webhook_endpoints/{webhook_endpoint_id}``
        """
    def delete_webhook(self, webhook_endpoint_id: str) -> Response:
        """Deletes a webhook.

        ``DELETE /webhook_endpoints/{webhook_endpoint_id}``
        """
    def rotate_webhook_secret(self, webhook_endpoint_id: str, **opts: Any) -> Response:
        """Gives a webhook another secret to sign with.

        ``POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret``
        """
    def test_webhook(self, webhook_endpoint_id: str, event_type: str, **opts: Any) -> Response:
        """Sends an event to a webhook.

        ``POST /webhook_endpoints/{webhook_endpoint_id}/test``
        """
    def list_webhook_event_types(self, **opts: Any) -> Response:
        """Lists the kinds of events that there are.

        ``GET /webhook_event_types``
        """
    def retrieve_safety_alert(self, alert_id: str) -> Response:
        """Returns a safety alert.

        ``GET /safety/alerts/{alert_id}``
        """
    def retrieve_safety_case(self, case_id: str) -> Response:
        """Returns a safety case.

        ``GET /safety/cases/{case_id}``
        """
    def assistants(self, **opts: Any) -> Response:
        """Lists the assistants.

        ``GET /assistants``
        """
    def threads(self) -> Response:
        """Lists the threads.

        ``GET /threads``
        """
    def thread_messages(self, thread_id: str, **opts: Any) -> Response:
        """Lists the messages of a thread.

        ``GET /threads/{thread_id}/messages``
        """
    def delete_thread(self, thread_id: str) -> Response:
        """Deletes a thread.

        ``DELETE /threads/{thread_id}``
        """

class AsyncEndpointMethods:
    def list_chat_completions(self, **opts: Any) -> Plain:
        """Lists the stored chat completions.

        ``GET /chat/completions``
        """
    def retrieve_chat_completion(self, completion_id: str) -> Plain:
        """Returns a stored chat completion.

        ``GET /chat/completions/{completion_id}``
        """
    def update_chat_completion(
        self, completion_id: str, metadata: dict[str, str], **opts: Any
    ) -> Plain:
        """Changes the metadata of a stored chat completion.

        ``POST /chat/completions/{completion_id}``
        """
    def delete_chat_completion(self, completion_id: str) -> Plain:
        """Deletes a stored chat completion.

        ``DELETE /chat/completions/{completion_id}``
        """
    def list_chat_completion_messages(self, completion_id: str, **opts: Any) -> Plain:
        """Lists the messages of a stored chat completion.

        ``GET /chat/completions/{completion_id}/messages``
        """
    @overload
    def retrieve_response(
        self, response_id: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def retrieve_response(self, response_id: str, **opts: Any) -> Plain:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def response(
        self, response_id: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    @overload
    def response(self, response_id: str, **opts: Any) -> Plain:
        """Returns a stored response.

        ``GET /responses/{response_id}``
        """
    def delete_response(self, response_id: str) -> Plain:
        """Deletes a stored response.

        ``DELETE /responses/{response_id}``
        """
    def cancel_response(self, response_id: str) -> Plain:
        """Cancels a response that is being made in the background.

        ``POST /responses/{response_id}/cancel``
        """
    def compact_response(self, **opts: Any) -> Plain:
        """Shortens a history for the responses that follow.

        ``POST /responses/compact``
        """
    def list_response_input_items(self, response_id: str, **opts: Any) -> Plain:
        """Lists the items that a response was made from.

        ``GET /responses/{response_id}/input_items``
        """
    def count_response_input_tokens(self, **opts: Any) -> Plain:
        """Counts the tokens of what would be the input of a response.

        ``POST /responses/input_tokens``
        """
    def create_conversation(self, **opts: Any) -> Plain:
        """Creates a conversation, which keeps the history of responses on the server.

        ``POST /conversations``
        """
    def retrieve_conversation(self, conversation_id: str) -> Plain:
        """Returns a conversation.

        ``GET /conversations/{conversation_id}``
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
    def list_conversation_items(self, conversation_id: str, **opts: Any) -> Plain:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def conversation_items(self, conversation_id: str, **opts: Any) -> Plain:
        """Lists the items of a conversation.

        ``GET /conversations/{conversation_id}/items``
        """
    def create_conversation_item(self, conversation_id: str, items: list[dict[str, Any]]) -> Plain:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def add_conversation_items(self, conversation_id: str, items: list[dict[str, Any]]) -> Plain:
        """Adds items to a conversation.

        ``POST /conversations/{conversation_id}/items``
        """
    def retrieve_conversation_item(self, conversation_id: str, item_id: str, **opts: Any) -> Plain:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def conversation_item(self, conversation_id: str, item_id: str, **opts: Any) -> Plain:
        """Returns an item of a conversation.

        ``GET /conversations/{conversation_id}/items/{item_id}``
        """
    def delete_conversation_item(self, conversation_id: str, item_id: str) -> Plain:
        """Deletes an item of a conversation.

        ``DELETE /conversations/{conversation_id}/items/{item_id}``
        """
    @overload
    def create_completion(
        self, prompt: str | list[str], *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Completes a text, with models of the old kind.

        ``POST /completions``
        """
    @overload
    def create_completion(self, prompt: str | list[str], **opts: Any) -> Plain:
        """Completes a text, with models of the old kind.

        ``POST /completions``
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
    def create_embedding(self, input: str | list[Any], **opts: Any) -> Plain:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def embedding(self, input: str | list[Any], **opts: Any) -> Plain:
        """Returns the embedding of a text, or of each text in a list.

        ``POST /embeddings``
        """
    def create_moderation(self, input: str | list[Any], **opts: Any) -> Plain:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def moderation(self, input: str | list[Any], **opts: Any) -> Plain:
        """Says whether a text breaks the usage policies.

        ``POST /moderations``
        """
    def create_decision(
        self, input: str | list[Any], model: str, questions: list[dict[str, Any]], **opts: Any
    ) -> Plain:
        """Answers questions about an input.

        ``POST /decisions``
        """
    @overload
    def generate_image(
        self, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def generate_image(self, **opts: Any) -> Plain:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def image_generation(
        self, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def image_generation(self, **opts: Any) -> Plain:
        """Makes images from a prompt.

        ``POST /images/generations``
        """
    @overload
    def edit_image(
        self, image: FileInput | list[FileInput], prompt: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def edit_image(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Plain:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def image_edit(
        self, image: FileInput | list[FileInput], prompt: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    @overload
    def image_edit(self, image: FileInput | list[FileInput], prompt: str, **opts: Any) -> Plain:
        """Makes an image from one or several others and a prompt.

        ``POST /images/edits``
        """
    def create_image_variation(self, image: FileInput | list[FileInput], **opts: Any) -> Plain:
        """Makes variations of an image.

        ``POST /images/variations``
        """
    def create_content_provenance_check(self, file: FileInput, **opts: Any) -> Plain:
        """Says whether a file was made by a model.

        ``POST /content_provenance_checks``
        """
    def create_audio_speech(
        self, input: str | list[Any], model: str, voice: str | dict[str, str], **opts: Any
    ) -> Plain:
        """Speaks a text: the answer is a sound file.

        ``POST /audio/speech``
        """
    @overload
    def create_audio_transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def create_audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def audio_transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def audio_transcription(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def transcription(
        self, file: FileInput, model: str, *, stream: Literal[True], **opts: Any
    ) -> AsyncCall[AsyncStream[dict[str, Any]], dict[str, Any]]:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    @overload
    def transcription(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down what is said in a sound file.

        ``POST /audio/transcriptions``
        """
    def create_audio_translation(self, file: FileInput, model: str, **opts: Any) -> Plain:
        """Writes down in English what is said in a sound file.

        ``POST /audio/translations``
        """
    def create_audio_voice(self, name: str, **opts: Any) -> Plain:
        """Makes a voice from a sample of one.

        ``POST /audio/voices``
        """
    def delete_audio_voice(self, voice_id: str) -> Plain:
        """Deletes a voice.

        ``DELETE /audio/voices/{voice_id}``
        """
    def create_audio_voice_consent(
        self, name: str, language: str, recording: FileInput, **opts: Any
    ) -> Plain:
        """Uploads a speaker's consent to a copy of the voice.

        ``POST /audio/voice_consents``
        """
    def list_audio_voice_consents(self, **opts: Any) -> Plain:
        """Lists the consents.

        ``GET /audio/voice_consents``
        """
    def retrieve_audio_voice_consent(self, consent_id: str) -> Plain:
        """Returns what is known of a consent.

        ``GET /audio/voice_consents/{consent_id}``
        """
    def update_audio_voice_consent(self, consent_id: str, name: str, **opts: Any) -> Plain:
        """Renames a consent.

        ``POST /audio/voice_consents/{consent_id}``
        """
    def delete_audio_voice_consent(self, consent_id: str) -> Plain:
        """Deletes a consent.

        ``DELETE /audio/voice_consents/{consent_id}``
        """
    def create_video(self, prompt: str, **opts: Any) -> Plain:
        """Begins to make a video from a prompt.

        ``POST /videos``
        """
    def list_videos(self, **opts: Any) -> Plain:
        """Lists the videos.

        ``GET /videos``
        """
    def retrieve_video(self, video_id: str) -> Plain:
        """Returns a video's state and how far it is.

        ``GET /videos/{video_id}``
        """
    def download_video_content(self, video_id: str, **opts: Any) -> Plain:
        """Returns the video itself.

        ``GET /videos/{video_id}/content``
        """
    def delete_video(self, video_id: str) -> Plain:
        """Deletes a video.

        ``DELETE /videos/{video_id}``
        """
    def edit_video(self, prompt: str, video: FileInput, **opts: Any) -> Plain:
        """Begins to change a video.

        ``POST /videos/edits``
        """
    def extend_video(self, prompt: str, seconds: str, video: FileInput, **opts: Any) -> Plain:
        """Begins to make a video longer.

        ``POST /videos/extensions``
        """
    def remix_video(self, video_id: str, prompt: str, **opts: Any) -> Plain:
        """Begins to make another version of a video.

        ``POST /videos/{video_id}/remix``
        """
    def create_video_character(self, name: str, video: FileInput, **opts: Any) -> Plain:
        """Takes a character for further videos from one.

        ``POST /videos/characters``
        """
    def get_video_character(self, character_id: str) -> Plain:
        """Returns a character.

        ``GET /videos/characters/{character_id}``
        """
    def list_models(self, **opts: Any) -> Plain:
        """Lists the models.

        ``GET /models``
        """
    def models(self, **opts: Any) -> Plain:
        """Lists the models.

        ``GET /models``
        """
    def retrieve_model(self, model: str) -> Plain:
        """Returns what is known of a model.

        ``GET /models/{model}``
        """
    def delete_model(self, model: str) -> Plain:
        """Deletes a fine-tuned model.

        ``DELETE /models/{model}``
        """
    def create_file(self, file: FileInput, purpose: str, **opts: Any) -> Plain:
        """Uploads a file.

        ``POST /files``
        """
    def upload_file(self, file: FileInput, purpose: str, **opts: Any) -> Plain:
        """Uploads a file.

        ``POST /files``
        """
    def list_files(self, **opts: Any) -> Plain:
        """Lists the uploaded files.

        ``GET /files``
        """
    def files(self, **opts: Any) -> Plain:
        """Lists the uploaded files.

        ``GET /files``
        """
    def retrieve_file(self, file_id: str) -> Plain:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def file(self, file_id: str) -> Plain:
        """Returns what is known of a file.

        ``GET /files/{file_id}``
        """
    def retrieve_file_content(self, file_id: str) -> Plain:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def file_content(self, file_id: str) -> Plain:
        """Returns what is in a file.

        ``GET /files/{file_id}/content``
        """
    def delete_file(self, file_id: str) -> Plain:
        """Deletes a file.

        ``DELETE /files/{file_id}``
        """
    def create_upload(
        self, bytes: int, filename: str, mime_type: str, purpose: str, **opts: Any
    ) -> Plain:
        """Begins the upload of a large file, which follows in parts.

        ``POST /uploads``
        """
    def create_upload_part(self, upload_id: str, data: FileInput, **opts: Any) -> Plain:
        """Uploads a part of a large file.

        ``POST /uploads/{upload_id}/parts``
        """
    def complete_upload(self, upload_id: str, part_ids: list[str], **opts: Any) -> Plain:
        """Makes a file of the parts of an upload.

        ``POST /uploads/{upload_id}/complete``
        """
    def cancel_upload(self, upload_id: str) -> Plain:
        """Cancels an upload.

        ``POST /uploads/{upload_id}/cancel``
        """
    def create_batch(self, input_file_id: str, endpoint: str, **opts: Any) -> Plain:
        """Has the requests in an uploaded file answered within a day, for less money.

        ``POST /batches``
        """
    def list_batches(self, **opts: Any) -> Plain:
        """Lists the batches.

        ``GET /batches``
        """
    def batches(self, **opts: Any) -> Plain:
        """Lists the batches.

        ``GET /batches``
        """
    def retrieve_batch(self, batch_id: str) -> Plain:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def batch(self, batch_id: str) -> Plain:
        """Returns a batch and how far it is.

        ``GET /batches/{batch_id}``
        """
    def cancel_batch(self, batch_id: str) -> Plain:
        """Cancels a batch.

        ``POST /batches/{batch_id}/cancel``
        """
    def create_vector_store(self, **opts: Any) -> Plain:
        """Creates a vector store.

        ``POST /vector_stores``
        """
    def list_vector_stores(self, **opts: Any) -> Plain:
        """Lists the vector stores.

        ``GET /vector_stores``
        """
    def retrieve_vector_store(self, vector_store_id: str) -> Plain:
        """Returns a vector store.

        ``GET /vector_stores/{vector_store_id}``
        """
    def update_vector_store(self, vector_store_id: str, **opts: Any) -> Plain:
        """Changes a vector store, its ``name`` for instance.

        ``POST /vector_stores/{vector_store_id}``
        """
    def delete_vector_store(self, vector_store_id: str) -> Plain:
        """Deletes a vector store, not its files.

        ``DELETE /vector_stores/{vector_store_id}``
        """
    def search_vector_store(
        self, vector_store_id: str, query: str | list[str], **opts: Any
    ) -> Plain:
        """Finds the passages of a vector store that are nearest to a query.

        ``POST /vector_stores/{vector_store_id}/search``
        """
    def create_vector_store_file(self, vector_store_id: str, file_id: str, **opts: Any) -> Plain:
        """Adds an uploaded file to a vector store.

        ``POST /vector_stores/{vector_store_id}/files``
        """
    def list_vector_store_files(self, vector_store_id: str, **opts: Any) -> Plain:
        """Lists the files of a vector store.

        ``GET /vector_stores/{vector_store_id}/files``
        """
    def retrieve_vector_store_file(self, vector_store_id: str, file_id: str) -> Plain:
        """Returns a file of a vector store and how far it is.

        ``GET /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def update_vector_store_file(
        self, vector_store_id: str, file_id: str, attributes: dict[str, Any], **opts: Any
    ) -> Plain:
        """Changes the attributes of a file of a vector store.

        ``POST /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def delete_vector_store_file(self, vector_store_id: str, file_id: str) -> Plain:
        """Takes a file out of a vector store; the file itself stays.

        ``DELETE /vector_stores/{vector_store_id}/files/{file_id}``
        """
    def retrieve_vector_store_file_content(
        self, vector_store_id: str, file_id: str, **opts: Any
    ) -> Plain:
        """Lists the text of a file of a vector store, piece by piece.

        ``GET /vector_stores/{vector_store_id}/files/{file_id}/content``
        """
    def create_vector_store_file_batch(self, vector_store_id: str, **opts: Any) -> Plain:
        """Adds many files to a vector store.

        ``POST /vector_stores/{vector_store_id}/file_batches``
        """
    def retrieve_vector_store_file_batch(self, vector_store_id: str, batch_id: str) -> Plain:
        """Returns how far the files are that were added together.

        ``GET /vector_stores/{vector_store_id}/file_batches/{batch_id}``
        """
    def cancel_vector_store_file_batch(self, vector_store_id: str, batch_id: str) -> Plain:
        """Cancels the adding of many files.

        ``POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel``
        """
    def list_vector_store_file_batch_files(
        self, vector_store_id: str, batch_id: str, **opts: Any
    ) -> Plain:
        """Lists the files that were added together.

        ``GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files``
        """
    def create_container(self, name: str, **opts: Any) -> Plain:
        """Creates a container.

        ``POST /containers``
        """
    def list_containers(self, **opts: Any) -> Plain:
        """Lists the containers.

        ``GET /containers``
        """
    def retrieve_container(self, container_id: str) -> Plain:
        """Returns a container.

        ``GET /containers/{container_id}``
        """
    def delete_container(self, container_id: str) -> Plain:
        """Deletes a container.

        ``DELETE /containers/{container_id}``
        """
    def create_container_file(self, container_id: str, **opts: Any) -> Plain:
        """Puts a file, or an uploaded one by its id, into a container.

        ``POST /containers/{container_id}/files``
        """
    def list_container_files(self, container_id: str, **opts: Any) -> Plain:
        """Lists the files of a container.

        ``GET /containers/{container_id}/files``
        """
    def retrieve_container_file(self, container_id: str, file_id: str) -> Plain:
        """Returns what is known of such a file.

        ``GET /containers/{container_id}/files/{file_id}``
        """
    def retrieve_container_file_content(self, container_id: str, file_id: str) -> Plain:
        """Returns what is in a file of a container.

        ``GET /containers/{container_id}/files/{file_id}/content``
        """
    def delete_container_file(self, container_id: str, file_id: str) -> Plain:
        """Deletes a file of a container.

        ``DELETE /containers/{container_id}/files/{file_id}``
        """
    def create_fine_tuning_job(self, model: str, training_file: str, **opts: Any) -> Plain:
        """Begins to fine-tune a model.

        ``POST /fine_tuning/jobs``
        """
    def list_fine_tuning_jobs(self, **opts: Any) -> Plain:
        """Lists the fine-tuning jobs.

        ``GET /fine_tuning/jobs``
        """
    def retrieve_fine_tuning_job(self, fine_tuning_job_id: str) -> Plain:
        """Returns a fine-tuning job and how far it is.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}``
        """
    def cancel_fine_tuning_job(self, fine_tuning_job_id: str) -> Plain:
        """Cancels a fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel``
        """
    def pause_fine_tuning_job(self, fine_tuning_job_id: str) -> Plain:
        """Pauses a fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/pause``
        """
    def resume_fine_tuning_job(self, fine_tuning_job_id: str) -> Plain:
        """Goes on with a paused fine-tuning job.

        ``POST /fine_tuning/jobs/{fine_tuning_job_id}/resume``
        """
    def list_fine_tuning_job_events(self, fine_tuning_job_id: str, **opts: Any) -> Plain:
        """Lists what has happened in a fine-tuning job.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/events``
        """
    def list_fine_tuning_job_checkpoints(self, fine_tuning_job_id: str, **opts: Any) -> Plain:
        """Lists the checkpoints of a fine-tuning job.

        ``GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints``
        """
    def create_fine_tuning_checkpoint_permission(
        self, fine_tuned_model_checkpoint: str, project_ids: list[str], **opts: Any
    ) -> Plain:
        """Lets projects use a checkpoint.

        ``POST /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions``
        """
    def list_fine_tuning_checkpoint_permissions(
        self, fine_tuned_model_checkpoint: str, **opts: Any
    ) -> Plain:
        """Lists which projects may use a checkpoint.

        ``GET /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions``
        """
    def delete_fine_tuning_checkpoint_permission(
        self, fine_tuned_model_checkpoint: str, permission_id: str
    ) -> Plain:
        """Takes a permission back.

        ``DELETE /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}``
        """
    def run_fine_tuning_alpha_grader(
        self, grader: dict[str, Any], model_sample: str, **opts: Any
    ) -> Plain:
        """Grades a sample of a model.

        ``POST /fine_tuning/alpha/graders/run``
        """
    def validate_fine_tuning_alpha_grader(self, grader: dict[str, Any], **opts: Any) -> Plain:
        """Says whether a grader is a valid one.

        ``POST /fine_tuning/alpha/graders/validate``
        """
    def create_eval(
        self,
        data_source_config: dict[str, Any],
        testing_criteria: list[dict[str, Any]],
        **opts: Any,
    ) -> Plain:
        """Creates an eval.

        ``POST /evals``
        """
    def list_evals(self, **opts: Any) -> Plain:
        """Lists the evals.

        ``GET /evals``
        """
    def retrieve_eval(self, eval_id: str) -> Plain:
        """Returns an eval.

        ``GET /evals/{eval_id}``
        """
    def update_eval(self, eval_id: str, **opts: Any) -> Plain:
        """Changes an eval, its ``name`` for instance.

        ``POST /evals/{eval_id}``
        """
    def delete_eval(self, eval_id: str) -> Plain:
        """Deletes an eval.

        ``DELETE /evals/{eval_id}``
        """
    def create_eval_run(self, eval_id: str, data_source: dict[str, Any], **opts: Any) -> Plain:
        """Begins to run an eval.

        ``POST /evals/{eval_id}/runs``
        """
    def list_eval_runs(self, eval_id: str, **opts: Any) -> Plain:
        """Lists the runs of an eval.

        ``GET /evals/{eval_id}/runs``
        """
    def retrieve_eval_run(self, eval_id: str, run_id: str) -> Plain:
        """Returns a run of an eval and how far it is.

        ``GET /evals/{eval_id}/runs/{run_id}``
        """
    def cancel_eval_run(self, eval_id: str, run_id: str) -> Plain:
        """Cancels a run of an eval.

        ``POST /evals/{eval_id}/runs/{run_id}/cancel``
        """
    def delete_eval_run(self, eval_id: str, run_id: str) -> Plain:
        """Deletes a run of an eval.

        ``DELETE /evals/{eval_id}/runs/{run_id}``
        """
    def list_eval_run_output_items(self, eval_id: str, run_id: str, **opts: Any) -> Plain:
        """Lists what came of each item in a run of an eval.

        ``GET /evals/{eval_id}/runs/{run_id}/output_items``
        """
    def retrieve_eval_run_output_item(
        self, eval_id: str, run_id: str, output_item_id: str
    ) -> Plain:
        """Returns what came of an item in a run of an eval.

        ``GET /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}``
        """
    def create_skill(self, **opts: Any) -> Plain:
        """Uploads a skill, all of its files at once.

        ``POST /skills``
        """
    def list_skills(self, **opts: Any) -> Plain:
        """Lists the skills.

        ``GET /skills``
        """
    def retrieve_skill(self, skill_id: str) -> Plain:
        """Returns what is known of a skill.

        ``GET /skills/{skill_id}``
        """
    def update_skill(self, skill_id: str, default_version: str, **opts: Any) -> Plain:
        """Says which version of a skill is in use.

        ``POST /skills/{skill_id}``
        """
    def delete_skill(self, skill_id: str) -> Plain:
        """Deletes a skill.

        ``DELETE /skills/{skill_id}``
        """
    def retrieve_skill_content(self, skill_id: str) -> Plain:
        """Returns the files of a skill as one archive.

        ``GET /skills/{skill_id}/content``
        """
    def create_skill_version(self, skill_id: str, **opts: Any) -> Plain:
        """Uploads another version of a skill.

        ``POST /skills/{skill_id}/versions``
        """
    def list_skill_versions(self, skill_id: str, **opts: Any) -> Plain:
        """Lists the versions of a skill.

        ``GET /skills/{skill_id}/versions``
        """
    def retrieve_skill_version(self, skill_id: str, version: str) -> Plain:
        """Returns what is known of a version of a skill.

        ``GET /skills/{skill_id}/versions/{version}``
        """
    def delete_skill_version(self, skill_id: str, version: str) -> Plain:
        """Deletes a version of a skill.

        ``DELETE /skills/{skill_id}/versions/{version}``
        """
    def retrieve_skill_version_content(self, skill_id: str, version: str) -> Plain:
        """Returns the files of a version as one archive.

        ``GET /skills/{skill_id}/versions/{version}/content``
        """
    def create_webhook(self, event_types: list[str], name: str, url: str, **opts: Any) -> Plain:
        """Has a URL told of events.

        ``POST /webhook_endpoints``
        """
    def list_webhooks(self, **opts: Any) -> Plain:
        """Lists the webhooks.

        ``GET /webhook_endpoints``
        """
    def retrieve_webhook(self, webhook_endpoint_id: str) -> Plain:
        """Returns a webhook.

        ``GET /webhook_endpoints/{webhook_endpoint_id}``
        """
    def update_webhook(self, webhook_endpoint_id: str, **opts: Any) -> Plain:
        """Changes a webhook.

        ``POST /webhook_endpoints/{webhook_endpoint_id}``
        """
    def delete_webhook(self, webhook_endpoint_id: str) -> Plain:
        """Deletes a webhook.

        ``DELETE /webhook_endpoints/{webhook_endpoint_id}``
        """
    def rotate_webhook_secret(self, webhook_endpoint_id: str, **opts: Any) -> Plain:
        """Gives a webhook another secret to sign with.

        ``POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret``
        """
    def test_webhook(self, webhook_endpoint_id: str, event_type: str, **opts: Any) -> Plain:
        """Sends an event to a webhook.

        ``POST /webhook_endpoints/{webhook_endpoint_id}/test``
        """
    def list_webhook_event_types(self, **opts: Any) -> Plain:
        """Lists the kinds of events that there are.

        ``GET /webhook_event_types``
        """
    def retrieve_safety_alert(self, alert_id: str) -> Plain:
        """Returns a safety alert.

        ``GET /safety/alerts/{alert_id}``
        """
    def retrieve_safety_case(self, case_id: str) -> Plain:
        """Returns a safety case.

        ``GET /safety/cases/{case_id}``
        """
    def assistants(self, **opts: Any) -> Plain:
        """Lists the assistants.

        ``GET /assistants``
        """
    def threads(self) -> Plain:
        """Lists the threads.

        ``GET /threads``
        """
    def thread_messages(self, thread_id: str, **opts: Any) -> Plain:
        """Lists the messages of a thread.

        ``GET /threads/{thread_id}/messages``
        """
    def delete_thread(self, thread_id: str) -> Plain:
        """Deletes a thread.

        ``DELETE /threads/{thread_id}``
        """
