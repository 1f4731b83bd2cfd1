"""The endpoints of the API, each stated once; the clients in both languages are made from them.

Methods are named as in OpenAI's own Python client, made flat: the verb, then the resources from
the outside in, in the singular; only the last one after ``list`` and ``count`` is a plural. So
``batches.create`` is ``create_batch`` here, and ``vector_stores.files.list`` is
``list_vector_store_files``. A verb with a noun leaves the noun for the end: ``list_events`` of
``fine_tuning.jobs`` is ``list_fine_tuning_job_events``. A noun alone is retrieved: ``content`` of
``files`` is ``retrieve_file_content``. Ids are taken in the order of the path.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class Endpoint:
    """One endpoint. Plain slots: a NamedTuple or dataclass would slow every script's start.

    A client method takes the ids of the path, then ``argument`` if there is one, then what
    ``options`` names; in Python each of ``required`` is a parameter of its own.

    Attributes:
        method: the HTTP method.
        path: below the base URL; may hold ``{placeholders}`` for ids.
        summary: a sentence about what the endpoint does.
        argument: the payload field that the client method takes by position, or None.
        options: where the caller's further fields go: ``payload``, ``query``, ``form`` or None.
        required: fields that may not be left out.
        files: the form fields that hold files.
        defaults: payload fields; the caller's go over them, key by key.
        headers: extra request headers.
        chat_model: whether ``model`` defaults to the client's ``default_model``.
        streams: whether the answer may be a stream.
        repeatable: whether a request may be sent again when nobody knows if the server did it.
        plugins: whether plugins may send it.
        binary: whether the answer is a file, for the caller as it came.
        pages: of a list, the field of the query that asks for the next page; else None.
        aliases: earlier names of the method.
        ids: the names of the placeholders in ``path``.
    """

    __slots__ = (
        "aliases",
        "argument",
        "binary",
        "chat_model",
        "defaults",
        "files",
        "headers",
        "ids",
        "method",
        "options",
        "pages",
        "path",
        "plugins",
        "repeatable",
        "required",
        "streams",
        "summary",
    )

    def __init__(
        self,
        method: str,
        path: str,
        summary: str,
        argument: str | None = None,
        *,
        options: str | None = None,
        required: tuple[str, ...] = (),
        files: tuple[str, ...] = (),
        defaults: Mapping[str, object] = {},
        headers: Mapping[str, str] = {},
        chat_model: bool = False,
        streams: bool = False,
        repeatable: bool = False,
        plugins: bool = False,
        binary: bool = False,
        pages: str | None = None,
        aliases: tuple[str, ...] = (),
    ) -> None:
        self.method = method
        self.path = path
        self.summary = summary
        self.argument = argument
        self.options = options
        self.required = required
        self.files = files
        self.defaults = defaults
        self.headers = headers
        self.chat_model = chat_model
        self.streams = streams
        self.repeatable = repeatable or method != "POST"
        self.plugins = plugins
        self.binary = binary
        self.pages = pages
        self.aliases = aliases
        self.ids = tuple(part.partition("}")[0] for part in path.split("{")[1:])


def missing(field: str) -> str:
    """Returns the error text for a field that was left out."""
    return f"{field} must be provided" if field == "input" else f"{field} is required"


def fill_payload(
    endpoint: Endpoint, default_model: str, fields: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the fields to send: the endpoint's defaults, overridden by the caller's.

    Args:
        endpoint: where they go.
        default_model: the client's.
        fields: the caller's; the endpoint's ``argument`` and ``required`` are not sent when None.

    Raises:
        ValueError: a required field was left out.
    """
    filled: dict[str, Any] = dict(endpoint.defaults)
    if endpoint.chat_model:
        filled["model"] = default_model
    filled.update(fields)
    for name in endpoint.required:
        if filled.get(name) is None:
            raise ValueError(missing(name))
    if endpoint.argument and filled.get(endpoint.argument) is None:
        filled.pop(endpoint.argument, None)
    return filled


def find(name: str, caller: str) -> Endpoint:
    """Returns the endpoint of a client's method, for a caller that names it.

    Raises:
        ValueError: no endpoint has this name.
    """
    if name in METHODS:
        return METHODS[name]
    from difflib import get_close_matches

    close = get_close_matches(name, METHODS, 1)
    meant = f"; did you mean {close[0]}?" if close else ""
    raise ValueError(f'{caller}: no endpoint is called "{name}"{meant}')


def _get(path: str, summary: str, **more: Any) -> Endpoint:
    return Endpoint("GET", path, summary, **more)


def _list(path: str, summary: str, pages: str = "after", **more: Any) -> Endpoint:
    return Endpoint("GET", path, summary, options="query", pages=pages, **more)


def _post(path: str, summary: str, argument: str | None = None, **more: Any) -> Endpoint:
    return Endpoint("POST", path, summary, argument, options="payload", **more)


def _form(path: str, summary: str, *files: str, **more: Any) -> Endpoint:
    return Endpoint("POST", path, summary, options="form", files=files, **more)


def _act(path: str, summary: str, **more: Any) -> Endpoint:
    """Returns an endpoint whose requests have no body."""
    return Endpoint("POST", path, summary, **more)


def _delete(path: str, summary: str, **more: Any) -> Endpoint:
    return Endpoint("DELETE", path, summary, **more)


_CHAT = "/chat/completions"
_STORED_CHAT = "/chat/completions/{completion_id}"
_RESPONSE = "/responses/{response_id}"
_CONVERSATION = "/conversations/{conversation_id}"
_FILE = "/files/{file_id}"
_BATCH = "/batches/{batch_id}"
_UPLOAD = "/uploads/{upload_id}"
_STORE = "/vector_stores/{vector_store_id}"
_STORE_FILE = "/vector_stores/{vector_store_id}/files/{file_id}"
_FILE_BATCH = "/vector_stores/{vector_store_id}/file_batches/{batch_id}"
_STORES = {"OpenAI-Beta": "assistants=v2"}
_CONTAINER = "/containers/{container_id}"
_CONTAINER_FILE = "/containers/{container_id}/files/{file_id}"
_JOB = "/fine_tuning/jobs/{fine_tuning_job_id}"
_PERMISSIONS = "/fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions"
_EVAL = "/evals/{eval_id}"
_RUN = "/evals/{eval_id}/runs/{run_id}"
_OUTPUT_ITEM = "/evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}"
_CONSENT = "/audio/voice_consents/{consent_id}"
_VIDEO = "/videos/{video_id}"
_SKILL = "/skills/{skill_id}"
_VERSION = "/skills/{skill_id}/versions/{version}"
_WEBHOOK = "/webhook_endpoints/{webhook_endpoint_id}"
_ASSISTANTS = {"OpenAI-Beta": "assistants=v1"}

ENDPOINTS = {
    # Chat completions, and those that were stored.
    "create_chat_completion": _post(
        _CHAT,
        "Completes a chat.",
        "messages",
        chat_model=True,
        streams=True,
        repeatable=True,
        plugins=True,
    ),
    "list_chat_completions": _list(_CHAT, "Lists the stored chat completions."),
    "retrieve_chat_completion": _get(_STORED_CHAT, "Returns a stored chat completion."),
    "update_chat_completion": _post(
        _STORED_CHAT, "Changes the metadata of a stored chat completion.", required=("metadata",)
    ),
    "delete_chat_completion": _delete(_STORED_CHAT, "Deletes a stored chat completion."),
    "list_chat_completion_messages": _list(
        _STORED_CHAT + "/messages", "Lists the messages of a stored chat completion."
    ),
    # Responses.
    "create_response": _post(
        "/responses",
        "Creates a response.",
        "input",
        chat_model=True,
        streams=True,
        plugins=True,
    ),
    "retrieve_response": _get(
        _RESPONSE,
        "Returns a stored response.",
        options="query",
        streams=True,
        aliases=("response",),
    ),
    "delete_response": _delete(_RESPONSE, "Deletes a stored response."),
    "cancel_response": _act(
        _RESPONSE + "/cancel", "Cancels a response that is being made in the background."
    ),
    "compact_response": _post(
        "/responses/compact", "Shortens a history for the responses that follow.", chat_model=True
    ),
    "list_response_input_items": _list(
        _RESPONSE + "/input_items", "Lists the items that a response was made from."
    ),
    "count_response_input_tokens": _post(
        "/responses/input_tokens",
        "Counts the tokens of what would be the input of a response.",
        chat_model=True,
        repeatable=True,
    ),
    # Conversations.
    "create_conversation": _post(
        "/conversations",
        "Creates a conversation, which keeps the history of responses on the server.",
    ),
    "retrieve_conversation": _get(
        _CONVERSATION, "Returns a conversation.", aliases=("conversation",)
    ),
    "update_conversation": _post(
        _CONVERSATION, "Changes a conversation, its ``metadata`` for instance."
    ),
    "delete_conversation": _delete(_CONVERSATION, "Deletes a conversation, not its items."),
    "list_conversation_items": _list(
        _CONVERSATION + "/items",
        "Lists the items of a conversation.",
        aliases=("conversation_items",),
    ),
    "create_conversation_item": Endpoint(
        "POST",
        _CONVERSATION + "/items",
        "Adds items to a conversation.",
        "items",
        required=("items",),
        aliases=("add_conversation_items",),
    ),
    "retrieve_conversation_item": _get(
        _CONVERSATION + "/items/{item_id}",
        "Returns an item of a conversation.",
        options="query",
        aliases=("conversation_item",),
    ),
    "delete_conversation_item": _delete(
        _CONVERSATION + "/items/{item_id}", "Deletes an item of a conversation."
    ),
    # Texts.
    "create_completion": _post(
        "/completions",
        "Completes a text, with models of the old kind.",
        "prompt",
        defaults={"model": "gpt-3.5-turbo-instruct"},
        streams=True,
        repeatable=True,
        plugins=True,
        aliases=("completion",),
    ),
    "create_embedding": _post(
        "/embeddings",
        "Returns the embedding of a text, or of each text in a list.",
        "input",
        required=("input",),
        defaults={"model": "text-embedding-3-small"},
        repeatable=True,
        plugins=True,
        aliases=("embedding",),
    ),
    "create_moderation": _post(
        "/moderations",
        "Says whether a text breaks the usage policies.",
        "input",
        required=("input",),
        repeatable=True,
        plugins=True,
        aliases=("moderation",),
    ),
    "create_decision": _post(
        "/decisions",
        "Answers questions about an input.",
        required=("input", "model", "questions"),
    ),
    # Pictures.
    "generate_image": _post(
        "/images/generations",
        "Makes images from a prompt.",
        streams=True,
        aliases=("image_generation",),
    ),
    "edit_image": _form(
        "/images/edits",
        "Makes an image from one or several others and a prompt.",
        "image",
        "mask",
        required=("image", "prompt"),
        streams=True,
        aliases=("image_edit",),
    ),
    "create_image_variation": _form(
        "/images/variations", "Makes variations of an image.", "image", required=("image",)
    ),
    "create_content_provenance_check": _form(
        "/content_provenance_checks",
        "Says whether a file was made by a model.",
        "file",
        required=("file",),
    ),
    # Sound.
    "create_audio_speech": _post(
        "/audio/speech",
        "Speaks a text: the answer is a sound file.",
        required=("input", "model", "voice"),
        binary=True,
    ),
    "create_audio_transcription": _form(
        "/audio/transcriptions",
        "Writes down what is said in a sound file.",
        "file",
        required=("file", "model"),
        streams=True,
        aliases=("audio_transcription", "transcription"),
    ),
    "create_audio_translation": _form(
        "/audio/translations",
        "Writes down in English what is said in a sound file.",
        "file",
        required=("file", "model"),
    ),
    "create_audio_voice": _form(
        "/audio/voices", "Makes a voice from a sample of one.", "audio_sample", required=("name",)
    ),
    "delete_audio_voice": _delete("/audio/voices/{voice_id}", "Deletes a voice."),
    "create_audio_voice_consent": _form(
        "/audio/voice_consents",
        "Uploads a speaker's consent to a copy of the voice.",
        "recording",
        required=("name", "language", "recording"),
    ),
    "list_audio_voice_consents": _list("/audio/voice_consents", "Lists the consents."),
    "retrieve_audio_voice_consent": _get(_CONSENT, "Returns what is known of a consent."),
    "update_audio_voice_consent": _post(_CONSENT, "Renames a consent.", required=("name",)),
    "delete_audio_voice_consent": _delete(_CONSENT, "Deletes a consent."),
    # Videos.
    "create_video": _form(
        "/videos", "Begins to make a video from a prompt.", "input_reference", required=("prompt",)
    ),
    "list_videos": _list("/videos", "Lists the videos."),
    "retrieve_video": _get(_VIDEO, "Returns a video's state and how far it is."),
    "download_video_content": _get(
        _VIDEO + "/content", "Returns the video itself.", options="query", binary=True
    ),
    "delete_video": _delete(_VIDEO, "Deletes a video."),
    "edit_video": _form(
        "/videos/edits", "Begins to change a video.", "video", required=("prompt", "video")
    ),
    "extend_video": _form(
        "/videos/extensions",
        "Begins to make a video longer.",
        "video",
        required=("prompt", "seconds", "video"),
    ),
    "remix_video": _post(
        _VIDEO + "/remix", "Begins to make another version of a video.", required=("prompt",)
    ),
    "create_video_character": _form(
        "/videos/characters",
        "Takes a character for further videos from one.",
        "video",
        required=("name", "video"),
    ),
    "get_video_character": _get("/videos/characters/{character_id}", "Returns a character."),
    # Models.
    "list_models": _list("/models", "Lists the models.", plugins=True, aliases=("models",)),
    "retrieve_model": _get("/models/{model}", "Returns what is known of a model."),
    "delete_model": _delete("/models/{model}", "Deletes a fine-tuned model."),
    # Files, and uploads in parts.
    "create_file": _form(
        "/files",
        "Uploads a file.",
        "file",
        required=("file", "purpose"),
        aliases=("upload_file",),
    ),
    "list_files": _list("/files", "Lists the uploaded files.", aliases=("files",)),
    "retrieve_file": _get(_FILE, "Returns what is known of a file.", aliases=("file",)),
    "retrieve_file_content": _get(
        _FILE + "/content", "Returns what is in a file.", binary=True, aliases=("file_content",)
    ),
    "delete_file": _delete(_FILE, "Deletes a file."),
    "create_upload": _post(
        "/uploads",
        "Begins the upload of a large file, which follows in parts.",
        required=("bytes", "filename", "mime_type", "purpose"),
    ),
    "create_upload_part": _form(
        _UPLOAD + "/parts", "Uploads a part of a large file.", "data", required=("data",)
    ),
    "complete_upload": _post(
        _UPLOAD + "/complete", "Makes a file of the parts of an upload.", required=("part_ids",)
    ),
    "cancel_upload": _act(_UPLOAD + "/cancel", "Cancels an upload."),
    # Batches.
    "create_batch": _post(
        "/batches",
        "Has the requests in an uploaded file answered within a day, for less money.",
        required=("input_file_id", "endpoint"),
        defaults={"completion_window": "24h"},
    ),
    "list_batches": _list("/batches", "Lists the batches.", aliases=("batches",)),
    "retrieve_batch": _get(_BATCH, "Returns a batch and how far it is.", aliases=("batch",)),
    "cancel_batch": _act(_BATCH + "/cancel", "Cancels a batch."),
    # Vector stores.
    "create_vector_store": _post("/vector_stores", "Creates a vector store.", headers=_STORES),
    "list_vector_stores": _list("/vector_stores", "Lists the vector stores.", headers=_STORES),
    "retrieve_vector_store": _get(_STORE, "Returns a vector store.", headers=_STORES),
    "update_vector_store": _post(
        _STORE, "Changes a vector store, its ``name`` for instance.", headers=_STORES
    ),
    "delete_vector_store": _delete(
        _STORE, "Deletes a vector store, not its files.", headers=_STORES
    ),
    "search_vector_store": _post(
        _STORE + "/search",
        "Finds the passages of a vector store that are nearest to a query.",
        "query",
        required=("query",),
        headers=_STORES,
        repeatable=True,
    ),
    "create_vector_store_file": _post(
        _STORE + "/files",
        "Adds an uploaded file to a vector store.",
        required=("file_id",),
        headers=_STORES,
    ),
    "list_vector_store_files": _list(
        _STORE + "/files", "Lists the files of a vector store.", headers=_STORES
    ),
    "retrieve_vector_store_file": _get(
        _STORE_FILE, "Returns a file of a vector store and how far it is.", headers=_STORES
    ),
    "update_vector_store_file": _post(
        _STORE_FILE,
        "Changes the attributes of a file of a vector store.",
        required=("attributes",),
        headers=_STORES,
    ),
    "delete_vector_store_file": _delete(
        _STORE_FILE, "Takes a file out of a vector store; the file itself stays.", headers=_STORES
    ),
    "retrieve_vector_store_file_content": _list(
        _STORE_FILE + "/content",
        "Lists the text of a file of a vector store, piece by piece.",
        "page",
        headers=_STORES,
    ),
    "create_vector_store_file_batch": _post(
        _STORE + "/file_batches", "Adds many files to a vector store.", headers=_STORES
    ),
    "retrieve_vector_store_file_batch": _get(
        _FILE_BATCH, "Returns how far the files are that were added together.", headers=_STORES
    ),
    "cancel_vector_store_file_batch": _act(
        _FILE_BATCH + "/cancel", "Cancels the adding of many files.", headers=_STORES
    ),
    "list_vector_store_file_batch_files": _list(
        _FILE_BATCH + "/files", "Lists the files that were added together.", headers=_STORES
    ),
    # Containers.
    "create_container": _post("/containers", "Creates a container.", required=("name",)),
    "list_containers": _list("/containers", "Lists the containers."),
    "retrieve_container": _get(_CONTAINER, "Returns a container."),
    "delete_container": _delete(_CONTAINER, "Deletes a container."),
    "create_container_file": _form(
        _CONTAINER + "/files",
        "Puts a file, or an uploaded one by its id, into a container.",
        "file",
    ),
    "list_container_files": _list(_CONTAINER + "/files", "Lists the files of a container."),
    "retrieve_container_file": _get(_CONTAINER_FILE, "Returns what is known of such a file."),
    "retrieve_container_file_content": _get(
        _CONTAINER_FILE + "/content", "Returns what is in a file of a container.", binary=True
    ),
    "delete_container_file": _delete(_CONTAINER_FILE, "Deletes a file of a container."),
    # Fine-tuning.
    "create_fine_tuning_job": _post(
        "/fine_tuning/jobs",
        "Begins to fine-tune a model.",
        required=("model", "training_file"),
    ),
    "list_fine_tuning_jobs": _list("/fine_tuning/jobs", "Lists the fine-tuning jobs."),
    "retrieve_fine_tuning_job": _get(_JOB, "Returns a fine-tuning job and how far it is."),
    "cancel_fine_tuning_job": _act(_JOB + "/cancel", "Cancels a fine-tuning job."),
    "pause_fine_tuning_job": _act(_JOB + "/pause", "Pauses a fine-tuning job."),
    "resume_fine_tuning_job": _act(_JOB + "/resume", "Goes on with a paused fine-tuning job."),
    "list_fine_tuning_job_events": _list(
        _JOB + "/events", "Lists what has happened in a fine-tuning job."
    ),
    "list_fine_tuning_job_checkpoints": _list(
        _JOB + "/checkpoints", "Lists the checkpoints of a fine-tuning job."
    ),
    "create_fine_tuning_checkpoint_permission": _post(
        _PERMISSIONS, "Lets projects use a checkpoint.", required=("project_ids",)
    ),
    "list_fine_tuning_checkpoint_permissions": _list(
        _PERMISSIONS, "Lists which projects may use a checkpoint."
    ),
    "delete_fine_tuning_checkpoint_permission": _delete(
        _PERMISSIONS + "/{permission_id}", "Takes a permission back."
    ),
    "run_fine_tuning_alpha_grader": _post(
        "/fine_tuning/alpha/graders/run",
        "Grades a sample of a model.",
        required=("grader", "model_sample"),
    ),
    "validate_fine_tuning_alpha_grader": _post(
        "/fine_tuning/alpha/graders/validate",
        "Says whether a grader is a valid one.",
        required=("grader",),
        repeatable=True,
    ),
    # Evals.
    "create_eval": _post(
        "/evals", "Creates an eval.", required=("data_source_config", "testing_criteria")
    ),
    "list_evals": _list("/evals", "Lists the evals."),
    "retrieve_eval": _get(_EVAL, "Returns an eval."),
    "update_eval": _post(_EVAL, "Changes an eval, its ``name`` for instance."),
    "delete_eval": _delete(_EVAL, "Deletes an eval."),
    "create_eval_run": _post(_EVAL + "/runs", "Begins to run an eval.", required=("data_source",)),
    "list_eval_runs": _list(_EVAL + "/runs", "Lists the runs of an eval."),
    "retrieve_eval_run": _get(_RUN, "Returns a run of an eval and how far it is."),
    "cancel_eval_run": _act(_RUN + "/cancel", "Cancels a run of an eval."),
    "delete_eval_run": _delete(_RUN, "Deletes a run of an eval."),
    "list_eval_run_output_items": _list(
        _RUN + "/output_items", "Lists what came of each item in a run of an eval."
    ),
    "retrieve_eval_run_output_item": _get(
        _OUTPUT_ITEM, "Returns what came of an item in a run of an eval."
    ),
    # Skills.
    "create_skill": _form("/skills", "Uploads a skill, all of its files at once.", "files"),
    "list_skills": _list("/skills", "Lists the skills."),
    "retrieve_skill": _get(_SKILL, "Returns what is known of a skill."),
    "update_skill": _post(
        _SKILL, "Says which version of a skill is in use.", required=("default_version",)
    ),
    "delete_skill": _delete(_SKILL, "Deletes a skill."),
    "retrieve_skill_content": _get(
        _SKILL + "/content", "Returns the files of a skill as one archive.", binary=True
    ),
    "create_skill_version": _form(
        _SKILL + "/versions", "Uploads another version of a skill.", "files"
    ),
    "list_skill_versions": _list(_SKILL + "/versions", "Lists the versions of a skill."),
    "retrieve_skill_version": _get(_VERSION, "Returns what is known of a version of a skill."),
    "delete_skill_version": _delete(_VERSION, "Deletes a version of a skill."),
    "retrieve_skill_version_content": _get(
        _VERSION + "/content", "Returns the files of a version as one archive.", binary=True
    ),
    # Webhooks, and what the safety systems have found.
    "create_webhook": _post(
        "/webhook_endpoints",
        "Has a URL told of events.",
        required=("event_types", "name", "url"),
    ),
    "list_webhooks": _list("/webhook_endpoints", "Lists the webhooks."),
    "retrieve_webhook": _get(_WEBHOOK, "Returns a webhook."),
    "update_webhook": _post(_WEBHOOK, "Changes a webhook."),
    "delete_webhook": _delete(_WEBHOOK, "Deletes a webhook."),
    "rotate_webhook_secret": _post(
        _WEBHOOK + "/rotate_secret", "Gives a webhook another secret to sign with."
    ),
    "test_webhook": _post(
        _WEBHOOK + "/test", "Sends an event to a webhook.", required=("event_type",)
    ),
    "list_webhook_event_types": _list(
        "/webhook_event_types", "Lists the kinds of events that there are."
    ),
    "retrieve_safety_alert": _get("/safety/alerts/{alert_id}", "Returns a safety alert."),
    "retrieve_safety_case": _get("/safety/cases/{case_id}", "Returns a safety case."),
    # The beta endpoints that lua-openai has.
    "assistants": _list("/assistants", "Lists the assistants.", headers=_ASSISTANTS),
    "threads": _get("/threads", "Lists the threads.", headers=_ASSISTANTS),
    "thread_messages": _list(
        "/threads/{thread_id}/messages", "Lists the messages of a thread.", headers=_ASSISTANTS
    ),
    "delete_thread": _delete("/threads/{thread_id}", "Deletes a thread.", headers=_ASSISTANTS),
}

METHODS = {
    name: endpoint for main, endpoint in ENDPOINTS.items() for name in (main, *endpoint.aliases)
}
"""The endpoints by the names of the clients' methods, the earlier ones too."""
