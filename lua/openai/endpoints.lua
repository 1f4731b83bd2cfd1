---@meta _
-- Made by `make stubs` from client/endpoints.py: what editors know of the client's methods.
-- luacheck: ignore 212 241 631

---@class openai.File
---@field filename string
---@field content string
---@field content_type? string `application/octet-stream` when left out

---@alias openai.FileInput string|openai.File a path, or a file's name and content

---@class OpenAI
local OpenAI = {}

---Lists the stored chat completions. `GET /chat/completions`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_chat_completions(query) end

---Returns a stored chat completion. `GET /chat/completions/{completion_id}`
---@param completion_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_chat_completion(completion_id) end

---Changes the metadata of a stored chat completion. `POST /chat/completions/{completion_id}`
---@param completion_id string
---@param params {metadata: table<string, string>, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:update_chat_completion(completion_id, params) end

---Deletes a stored chat completion. `DELETE /chat/completions/{completion_id}`
---@param completion_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_chat_completion(completion_id) end

---Lists the messages of a stored chat completion. `GET /chat/completions/{completion_id}/messages`
---@param completion_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_chat_completion_messages(completion_id, query) end

---Returns a stored response. `GET /responses/{response_id}`
---@param response_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_response(response_id, query) end

---Returns a stored response. `GET /responses/{response_id}`
---@param response_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:response(response_id, query) end

---Deletes a stored response. `DELETE /responses/{response_id}`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_response(response_id) end

---Cancels a response that is being made in the background. `POST /responses/{response_id}/cancel`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_response(response_id) end

---Shortens a history for the responses that follow. `POST /responses/compact`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:compact_response(opts) end

---Lists the items that a response was made from. `GET /responses/{response_id}/input_items`
---@param response_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_response_input_items(response_id, query) end

---Counts the tokens of what would be the input of a response. `POST /responses/input_tokens`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:count_response_input_tokens(opts) end

---Creates a conversation, which keeps the history of responses on the server. `POST /conversations`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_conversation(opts) end

---Returns a conversation. `GET /conversations/{conversation_id}`
---@param conversation_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_conversation(conversation_id) end

---Returns a conversation. `GET /conversations/{conversation_id}`
---@param conversation_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:conversation(conversation_id) end

---Changes a conversation, its `metadata` for instance. `POST /conversations/{conversation_id}`
---@param conversation_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:update_conversation(conversation_id, opts) end

---Deletes a conversation, not its items. `DELETE /conversations/{conversation_id}`
---@param conversation_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_conversation(conversation_id) end

---Lists the items of a conversation. `GET /conversations/{conversation_id}/items`
---@param conversation_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_conversation_items(conversation_id, query) end

---Lists the items of a conversation. `GET /conversations/{conversation_id}/items`
---@param conversation_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:conversation_items(conversation_id, query) end

---Adds items to a conversation. `POST /conversations/{conversation_id}/items`
---@param conversation_id string
---@param items table[]
---@return integer status, any body, openai.Headers headers
function OpenAI:create_conversation_item(conversation_id, items) end

---Adds items to a conversation. `POST /conversations/{conversation_id}/items`
---@param conversation_id string
---@param items table[]
---@return integer status, any body, openai.Headers headers
function OpenAI:add_conversation_items(conversation_id, items) end

---Returns an item of a conversation. `GET /conversations/{conversation_id}/items/{item_id}`
---@param conversation_id string
---@param item_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_conversation_item(conversation_id, item_id, query) end

---Returns an item of a conversation. `GET /conversations/{conversation_id}/items/{item_id}`
---@param conversation_id string
---@param item_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:conversation_item(conversation_id, item_id, query) end

---Deletes an item of a conversation. `DELETE /conversations/{conversation_id}/items/{item_id}`
---@param conversation_id string
---@param item_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_conversation_item(conversation_id, item_id) end

---Completes a text, with models of the old kind. `POST /completions`
---@param prompt string|string[]
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_completion(prompt, opts) end

---Completes a text, with models of the old kind. `POST /completions`
---@param prompt string|string[]
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:completion(prompt, opts) end

---Returns the embedding of a text, or of each text in a list. `POST /embeddings`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_embedding(input, opts) end

---Returns the embedding of a text, or of each text in a list. `POST /embeddings`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:embedding(input, opts) end

---Says whether a text breaks the usage policies. `POST /moderations`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_moderation(input, opts) end

---Says whether a text breaks the usage policies. `POST /moderations`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:moderation(input, opts) end

---Answers questions about an input. `POST /decisions`
---@param params {input: string|table, model: string, questions: table[], [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_decision(params) end

---Makes images from a prompt. `POST /images/generations`
---@param params table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:generate_image(params) end

---Makes images from a prompt. `POST /images/generations`
---@param params table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:image_generation(params) end

---Makes an image from one or several others and a prompt. `POST /images/edits`
---@param params {image: openai.FileInput|openai.FileInput[], prompt: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:edit_image(params) end

---Makes an image from one or several others and a prompt. `POST /images/edits`
---@param params {image: openai.FileInput|openai.FileInput[], prompt: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:image_edit(params) end

---Makes variations of an image. `POST /images/variations`
---@param params {image: openai.FileInput|openai.FileInput[], [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_image_variation(params) end

---Says whether a file was made by a model. `POST /content_provenance_checks`
---@param params {file: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_content_provenance_check(params) end

---Speaks a text: the answer is a sound file. `POST /audio/speech`
---@param params {input: string|table, model: string, voice: string|{id: string}, [string]: any}
---@return integer status, string|table body, openai.Headers headers
function OpenAI:create_audio_speech(params) end

---Writes down what is said in a sound file. `POST /audio/transcriptions`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_audio_transcription(params) end

---Writes down what is said in a sound file. `POST /audio/transcriptions`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:audio_transcription(params) end

---Writes down what is said in a sound file. `POST /audio/transcriptions`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:transcription(params) end

---Writes down in English what is said in a sound file. `POST /audio/translations`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_audio_translation(params) end

---Makes a voice from a sample of one. `POST /audio/voices`
---@param params {name: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_audio_voice(params) end

---Deletes a voice. `DELETE /audio/voices/{voice_id}`
---@param voice_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_audio_voice(voice_id) end

---Uploads a speaker's consent to a copy of the voice. `POST /audio/voice_consents`
---@param params {name: string, language: string, recording: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_audio_voice_consent(params) end

---Lists the consents. `GET /audio/voice_consents`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_audio_voice_consents(query) end

---Returns what is known of a consent. `GET /audio/voice_consents/{consent_id}`
---@param consent_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_audio_voice_consent(consent_id) end

---Renames a consent. `POST /audio/voice_consents/{consent_id}`
---@param consent_id string
---@param params {name: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:update_audio_voice_consent(consent_id, params) end

---Deletes a consent. `DELETE /audio/voice_consents/{consent_id}`
---@param consent_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_audio_voice_consent(consent_id) end

---Begins to make a video from a prompt. `POST /videos`
---@param params {prompt: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_video(params) end

---Lists the videos. `GET /videos`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_videos(query) end

---Returns a video's state and how far it is. `GET /videos/{video_id}`
---@param video_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_video(video_id) end

---Returns the video itself. `GET /videos/{video_id}/content`
---@param video_id string
---@param query? table<string, any>
---@return integer status, string|table body, openai.Headers headers
function OpenAI:download_video_content(video_id, query) end

---Deletes a video. `DELETE /videos/{video_id}`
---@param video_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_video(video_id) end

---Begins to change a video. `POST /videos/edits`
---@param params {prompt: string, video: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:edit_video(params) end

---Begins to make a video longer. `POST /videos/extensions`
---@param params {prompt: string, seconds: string, video: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:extend_video(params) end

---Begins to make another version of a video. `POST /videos/{video_id}/remix`
---@param video_id string
---@param params {prompt: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:remix_video(video_id, params) end

---Takes a character for further videos from one. `POST /videos/characters`
---@param params {name: string, video: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_video_character(params) end

---Returns a character. `GET /videos/characters/{character_id}`
---@param character_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:get_video_character(character_id) end

---Lists the models. `GET /models`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_models(query) end

---Lists the models. `GET /models`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:models(query) end

---Returns what is known of a model. `GET /models/{model}`
---@param model string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_model(model) end

---Deletes a fine-tuned model. `DELETE /models/{model}`
---@param model string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_model(model) end

---Uploads a file. `POST /files`
---@param params {file: openai.FileInput, purpose: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_file(params) end

---Uploads a file. `POST /files`
---@param params {file: openai.FileInput, purpose: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:upload_file(params) end

---Lists the uploaded files. `GET /files`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_files(query) end

---Lists the uploaded files. `GET /files`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:files(query) end

---Returns what is known of a file. `GET /files/{file_id}`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_file(file_id) end

---Returns what is known of a file. `GET /files/{file_id}`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:file(file_id) end

---Returns what is in a file. `GET /files/{file_id}/content`
---@param file_id string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:retrieve_file_content(file_id) end

---Returns what is in a file. `GET /files/{file_id}/content`
---@param file_id string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:file_content(file_id) end

---Deletes a file. `DELETE /files/{file_id}`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_file(file_id) end

---Begins the upload of a large file, which follows in parts. `POST /uploads`
---@param params {bytes: integer, filename: string, mime_type: string, purpose: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_upload(params) end

---Uploads a part of a large file. `POST /uploads/{upload_id}/parts`
---@param upload_id string
---@param params {data: openai.FileInput, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_upload_part(upload_id, params) end

---Makes a file of the parts of an upload. `POST /uploads/{upload_id}/complete`
---@param upload_id string
---@param params {part_ids: string[], [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:complete_upload(upload_id, params) end

---Cancels an upload. `POST /uploads/{upload_id}/cancel`
---@param upload_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_upload(upload_id) end

---Has the requests in an uploaded file answered within a day, for less money. `POST /batches`
---@param params {input_file_id: string, endpoint: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_batch(params) end

---Lists the batches. `GET /batches`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_batches(query) end

---Lists the batches. `GET /batches`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:batches(query) end

---Returns a batch and how far it is. `GET /batches/{batch_id}`
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_batch(batch_id) end

---Returns a batch and how far it is. `GET /batches/{batch_id}`
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:batch(batch_id) end

---Cancels a batch. `POST /batches/{batch_id}/cancel`
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_batch(batch_id) end

---Creates a vector store. `POST /vector_stores`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_vector_store(opts) end

---Lists the vector stores. `GET /vector_stores`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_vector_stores(query) end

---Returns a vector store. `GET /vector_stores/{vector_store_id}`
---@param vector_store_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_vector_store(vector_store_id) end

---Changes a vector store, its `name` for instance. `POST /vector_stores/{vector_store_id}`
---@param vector_store_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:update_vector_store(vector_store_id, opts) end

---Deletes a vector store, not its files. `DELETE /vector_stores/{vector_store_id}`
---@param vector_store_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_vector_store(vector_store_id) end

---Finds the passages of a vector store that are nearest to a query. `POST /vector_stores/{vector_store_id}/search`
---@param vector_store_id string
---@param query string|string[]
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:search_vector_store(vector_store_id, query, opts) end

---Adds an uploaded file to a vector store. `POST /vector_stores/{vector_store_id}/files`
---@param vector_store_id string
---@param params {file_id: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_vector_store_file(vector_store_id, params) end

---Lists the files of a vector store. `GET /vector_stores/{vector_store_id}/files`
---@param vector_store_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_vector_store_files(vector_store_id, query) end

---Returns a file of a vector store and how far it is. `GET /vector_stores/{vector_store_id}/files/{file_id}`
---@param vector_store_id string
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_vector_store_file(vector_store_id, file_id) end

---Changes the attributes of a file of a vector store. `POST /vector_stores/{vector_store_id}/files/{file_id}`
---@param vector_store_id string
---@param file_id string
---@param params {attributes: table<string, any>, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:update_vector_store_file(vector_store_id, file_id, params) end

---Takes a file out of a vector store; the file itself stays. `DELETE /vector_stores/{vector_store_id}/files/{file_id}`
---@param vector_store_id string
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_vector_store_file(vector_store_id, file_id) end

---Lists the text of a file of a vector store, piece by piece. `GET /vector_stores/{vector_store_id}/files/{file_id}/content`
---@param vector_store_id string
---@param file_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_vector_store_file_content(vector_store_id, file_id, query) end

---Adds many files to a vector store. `POST /vector_stores/{vector_store_id}/file_batches`
---@param vector_store_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_vector_store_file_batch(vector_store_id, opts) end

---Returns how far the files are that were added together. `GET /vector_stores/{vector_store_id}/file_batches/{batch_id}`
---@param vector_store_id string
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_vector_store_file_batch(vector_store_id, batch_id) end

---Cancels the adding of many files. `POST /vector_stores/{vector_store_id}/file_batches/{batch_id}/cancel`
---@param vector_store_id string
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_vector_store_file_batch(vector_store_id, batch_id) end

---Lists the files that were added together. `GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files`
---@param vector_store_id string
---@param batch_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_vector_store_file_batch_files(vector_store_id, batch_id, query) end

---Creates a container. `POST /containers`
---@param params {name: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_container(params) end

---Lists the containers. `GET /containers`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_containers(query) end

---Returns a container. `GET /containers/{container_id}`
---@param container_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_container(container_id) end

---Deletes a container. `DELETE /containers/{container_id}`
---@param container_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_container(container_id) end

---Puts a file, or an uploaded one by its id, into a container. `POST /containers/{container_id}/files`
---@param container_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_container_file(container_id, opts) end

---Lists the files of a container. `GET /containers/{container_id}/files`
---@param container_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_container_files(container_id, query) end

---Returns what is known of such a file. `GET /containers/{container_id}/files/{file_id}`
---@param container_id string
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_container_file(container_id, file_id) end

---Returns what is in a file of a container. `GET /containers/{container_id}/files/{file_id}/content`
---@param container_id string
---@param file_id string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:retrieve_container_file_content(container_id, file_id) end

---Deletes a file of a container. `DELETE /containers/{container_id}/files/{file_id}`
---@param container_id string
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_container_file(container_id, file_id) end

---Begins to fine-tune a model. `POST /fine_tuning/jobs`
---@param params {model: string, training_file: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_fine_tuning_job(params) end

---Lists the fine-tuning jobs. `GET /fine_tuning/jobs`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_fine_tuning_jobs(query) end

---Returns a fine-tuning job and how far it is. `GET /fine_tuning/jobs/{fine_tuning_job_id}`
---@param fine_tuning_job_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_fine_tuning_job(fine_tuning_job_id) end

---Cancels a fine-tuning job. `POST /fine_tuning/jobs/{fine_tuning_job_id}/cancel`
---@param fine_tuning_job_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_fine_tuning_job(fine_tuning_job_id) end

---Pauses a fine-tuning job. `POST /fine_tuning/jobs/{fine_tuning_job_id}/pause`
---@param fine_tuning_job_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:pause_fine_tuning_job(fine_tuning_job_id) end

---Goes on with a paused fine-tuning job. `POST /fine_tuning/jobs/{fine_tuning_job_id}/resume`
---@param fine_tuning_job_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:resume_fine_tuning_job(fine_tuning_job_id) end

---Lists what has happened in a fine-tuning job. `GET /fine_tuning/jobs/{fine_tuning_job_id}/events`
---@param fine_tuning_job_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_fine_tuning_job_events(fine_tuning_job_id, query) end

---Lists the checkpoints of a fine-tuning job. `GET /fine_tuning/jobs/{fine_tuning_job_id}/checkpoints`
---@param fine_tuning_job_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_fine_tuning_job_checkpoints(fine_tuning_job_id, query) end

---Lets projects use a checkpoint. `POST /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions`
---@param fine_tuned_model_checkpoint string
---@param params {project_ids: string[], [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_fine_tuning_checkpoint_permission(fine_tuned_model_checkpoint, params) end

---Lists which projects may use a checkpoint. `GET /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions`
---@param fine_tuned_model_checkpoint string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_fine_tuning_checkpoint_permissions(fine_tuned_model_checkpoint, query) end

---Takes a permission back. `DELETE /fine_tuning/checkpoints/{fine_tuned_model_checkpoint}/permissions/{permission_id}`
---@param fine_tuned_model_checkpoint string
---@param permission_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_fine_tuning_checkpoint_permission(fine_tuned_model_checkpoint, permission_id) end

---Grades a sample of a model. `POST /fine_tuning/alpha/graders/run`
---@param params {grader: table<string, any>, model_sample: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:run_fine_tuning_alpha_grader(params) end

---Says whether a grader is a valid one. `POST /fine_tuning/alpha/graders/validate`
---@param params {grader: table<string, any>, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:validate_fine_tuning_alpha_grader(params) end

---Creates an eval. `POST /evals`
---@param params {data_source_config: table<string, any>, testing_criteria: table[], [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_eval(params) end

---Lists the evals. `GET /evals`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_evals(query) end

---Returns an eval. `GET /evals/{eval_id}`
---@param eval_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_eval(eval_id) end

---Changes an eval, its `name` for instance. `POST /evals/{eval_id}`
---@param eval_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:update_eval(eval_id, opts) end

---Deletes an eval. `DELETE /evals/{eval_id}`
---@param eval_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_eval(eval_id) end

---Begins to run an eval. `POST /evals/{eval_id}/runs`
---@param eval_id string
---@param params {data_source: table<string, any>, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_eval_run(eval_id, params) end

---Lists the runs of an eval. `GET /evals/{eval_id}/runs`
---@param eval_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_eval_runs(eval_id, query) end

---Returns a run of an eval and how far it is. `GET /evals/{eval_id}/runs/{run_id}`
---@param eval_id string
---@param run_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_eval_run(eval_id, run_id) end

---Cancels a run of an eval. `POST /evals/{eval_id}/runs/{run_id}/cancel`
---@param eval_id string
---@param run_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_eval_run(eval_id, run_id) end

---Deletes a run of an eval. `DELETE /evals/{eval_id}/runs/{run_id}`
---@param eval_id string
---@param run_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_eval_run(eval_id, run_id) end

---Lists what came of each item in a run of an eval. `GET /evals/{eval_id}/runs/{run_id}/output_items`
---@param eval_id string
---@param run_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_eval_run_output_items(eval_id, run_id, query) end

---Returns what came of an item in a run of an eval. `GET /evals/{eval_id}/runs/{run_id}/output_items/{output_item_id}`
---@param eval_id string
---@param run_id string
---@param output_item_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_eval_run_output_item(eval_id, run_id, output_item_id) end

---Uploads a skill, all of its files at once. `POST /skills`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_skill(opts) end

---Lists the skills. `GET /skills`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_skills(query) end

---Returns what is known of a skill. `GET /skills/{skill_id}`
---@param skill_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_skill(skill_id) end

---Says which version of a skill is in use. `POST /skills/{skill_id}`
---@param skill_id string
---@param params {default_version: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:update_skill(skill_id, params) end

---Deletes a skill. `DELETE /skills/{skill_id}`
---@param skill_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_skill(skill_id) end

---Returns the files of a skill as one archive. `GET /skills/{skill_id}/content`
---@param skill_id string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:retrieve_skill_content(skill_id) end

---Uploads another version of a skill. `POST /skills/{skill_id}/versions`
---@param skill_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_skill_version(skill_id, opts) end

---Lists the versions of a skill. `GET /skills/{skill_id}/versions`
---@param skill_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_skill_versions(skill_id, query) end

---Returns what is known of a version of a skill. `GET /skills/{skill_id}/versions/{version}`
---@param skill_id string
---@param version string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_skill_version(skill_id, version) end

---Deletes a version of a skill. `DELETE /skills/{skill_id}/versions/{version}`
---@param skill_id string
---@param version string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_skill_version(skill_id, version) end

---Returns the files of a version as one archive. `GET /skills/{skill_id}/versions/{version}/content`
---@param skill_id string
---@param version string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:retrieve_skill_version_content(skill_id, version) end

---Has a URL told of events. `POST /webhook_endpoints`
---@param params {event_types: string[], name: string, url: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_webhook(params) end

---Lists the webhooks. `GET /webhook_endpoints`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_webhooks(query) end

---Returns a webhook. `GET /webhook_endpoints/{webhook_endpoint_id}`
---@param webhook_endpoint_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_webhook(webhook_endpoint_id) end

---Changes a webhook. `POST /webhook_endpoints/{webhook_endpoint_id}`
---@param webhook_endpoint_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:update_webhook(webhook_endpoint_id, opts) end

---Deletes a webhook. `DELETE /webhook_endpoints/{webhook_endpoint_id}`
---@param webhook_endpoint_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_webhook(webhook_endpoint_id) end

---Gives a webhook another secret to sign with. `POST /webhook_endpoints/{webhook_endpoint_id}/rotate_secret`
---@param webhook_endpoint_id string
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:rotate_webhook_secret(webhook_endpoint_id, opts) end

---Sends an event to a webhook. `POST /webhook_endpoints/{webhook_endpoint_id}/test`
---@param webhook_endpoint_id string
---@param params {event_type: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:test_webhook(webhook_endpoint_id, params) end

---Lists the kinds of events that there are. `GET /webhook_event_types`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:list_webhook_event_types(query) end

---Returns a safety alert. `GET /safety/alerts/{alert_id}`
---@param alert_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_safety_alert(alert_id) end

---Returns a safety case. `GET /safety/cases/{case_id}`
---@param case_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:retrieve_safety_case(case_id) end

---Lists the assistants. `GET /assistants`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:assistants(query) end

---Lists the threads. `GET /threads`
---@return integer status, any body, openai.Headers headers
function OpenAI:threads() end

---Lists the messages of a thread. `GET /threads/{thread_id}/messages`
---@param thread_id string
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:thread_messages(thread_id, query) end

---Deletes a thread. `DELETE /threads/{thread_id}`
---@param thread_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_thread(thread_id) end
