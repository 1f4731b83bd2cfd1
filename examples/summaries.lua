-- Summarises a folder of texts, all of them at once: luaopenai run examples/summaries.lua [FOLDER]

local openai = require("openai")

local folder = arg[1] or arg[0]:gsub("[^/\\]*$", "") .. "texts"
local client = openai.new(os.getenv("OPENAI_API_KEY"))

local function files_in(path)
  local names = {}
  for name in io.popen(('ls "%s"'):format(path)):lines() do
    names[#names + 1] = name
  end
  return names
end

local function summarise(name)
  local file = assert(io.open(folder .. "/" .. name))
  local text = file:read("*a")
  file:close()
  local chat = client:new_chat_session({
    messages = { { role = "system", content = "You summarise a text in one short sentence." } },
    temperature = 0,
    max_tokens = 32,
  })
  return (assert(chat:send(text)))
end

local names, jobs = files_in(folder), {}
for index, name in ipairs(names) do
  jobs[index] = function()
    return summarise(name)
  end
end

local summaries = openai.gather(jobs, {
  limit = 8,
  on_progress = function(done, total)
    io.write(("\r%d of %d texts"):format(done, total), done == total and "\n" or "")
    io.flush()
  end,
})

for index, name in ipairs(names) do
  print(("\n%s\n  %s"):format(name, summaries[index]))
end
