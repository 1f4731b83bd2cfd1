---@meta _
-- Made by `make stubs` from client/endpoints.py: what editors know of the client's methods.
-- luacheck: ignore 212 241

---@class openai.File
---@field filename string
---@field content string
---@field content_type? string `application/octet-stream` when left out

---@alias openai.FileInput string|openai.File a path, or a file's name and content

---@class OpenAI
local OpenAI = {}

---Returns a stored response. `GET /responses/{response_id}`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:response(response_id) end

---Deletes a stored response. `DELETE /responses/{response_id}`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_response(response_id) end

---Cancels a response that is being made. `POST /responses/{response_id}/cancel`
---@param response_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_response(response_id) end

---Creates a conversation, which keeps the history of responses on the server. `POST /conversations`
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:create_conversation(opts) end

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
function OpenAI:conversation_items(conversation_id, query) end

---Adds items to a conversation. `POST /conversations/{conversation_id}/items`
---@param conversation_id string
---@param items table[]
---@return integer status, any body, openai.Headers headers
function OpenAI:add_conversation_items(conversation_id, items) end

---Returns an item of a conversation. `GET /conversations/{conversation_id}/items/{item_id}`
---@param conversation_id string
---@param item_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:conversation_item(conversation_id, item_id) end

---Deletes an item of a conversation. `DELETE /conversations/{conversation_id}/items/{item_id}`
---@param conversation_id string
---@param item_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_conversation_item(conversation_id, item_id) end

---Completes a text, with models of the old kind. `POST /completions`
---@param prompt string|string[]
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:completion(prompt, opts) end

---Returns the embedding of a text, or of each text in a list. `POST /embeddings`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:embedding(input, opts) end

---Says whether a text breaks the usage policies. `POST /moderations`
---@param input string|table
---@param opts? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:moderation(input, opts) end

---Makes images from a prompt. `POST /images/generations`
---@param params table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:image_generation(params) end

---Makes an image from one or several others and a prompt. `POST /images/edits`
---@param params {image: openai.FileInput|openai.FileInput[], prompt: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:image_edit(params) end

---Writes down what is said in a sound file. `POST /audio/transcriptions`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:audio_transcription(params) end

---Writes down what is said in a sound file. `POST /audio/transcriptions`
---@param params {file: openai.FileInput, model: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:transcription(params) end

---Lists the models. `GET /models`
---@return integer status, any body, openai.Headers headers
function OpenAI:models() end

---Lists the uploaded files. `GET /files`
---@return integer status, any body, openai.Headers headers
function OpenAI:files() end

---Uploads a file. `POST /files`
---@param params {file: openai.FileInput, purpose: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:upload_file(params) end

---Uploads a file. `POST /files`
---@param params {file: openai.FileInput, purpose: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_file(params) end

---Returns what is known of a file. `GET /files/{file_id}`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:file(file_id) end

---Returns what is in a file. `GET /files/{file_id}/content`
---@param file_id string
---@return integer status, string|table body, openai.Headers headers
function OpenAI:file_content(file_id) end

---Deletes a file. `DELETE /files/{file_id}`
---@param file_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_file(file_id) end

---Has the requests in an uploaded file answered within a day, for less money. `POST /batches`
---@param params {input_file_id: string, endpoint: string, [string]: any}
---@return integer status, any body, openai.Headers headers
function OpenAI:create_batch(params) end

---Returns a batch and how far it is. `GET /batches/{batch_id}`
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:batch(batch_id) end

---Cancels a batch. `POST /batches/{batch_id}/cancel`
---@param batch_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:cancel_batch(batch_id) end

---Lists the batches. `GET /batches`
---@param query? table<string, any>
---@return integer status, any body, openai.Headers headers
function OpenAI:batches(query) end

---Lists the assistants. `GET /assistants`
---@return integer status, any body, openai.Headers headers
function OpenAI:assistants() end

---Lists the threads. `GET /threads`
---@return integer status, any body, openai.Headers headers
function OpenAI:threads() end

---Lists the messages of a thread. `GET /threads/{thread_id}/messages`
---@param thread_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:thread_messages(thread_id) end

---Deletes a thread. `DELETE /threads/{thread_id}`
---@param thread_id string
---@return integer status, any body, openai.Headers headers
function OpenAI:delete_thread(thread_id) end
