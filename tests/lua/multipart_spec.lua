--- Forms with files: the same cases as for Python.

local cjson = require("cjson")
local multipart = require("openai.multipart")
local vectors = require("support.vectors")

describe("openai.multipart", function()
  for _, case in ipairs(vectors("forms")) do
    local shown = cjson.encode(case.params)
    if case.fails then
      it("refuses " .. shown, function()
        for _, encode in ipairs({ multipart.encode_multipart, multipart.multipart_boundary }) do
          assert.has_error(function()
            encode(case.params, "B")
          end, case.fails)
        end
      end)
    elseif case.boundary then
      it("finds a boundary that is not in " .. shown, function()
        assert.equal(case.boundary, multipart.multipart_boundary(case.params))
      end)
    else
      it("encodes " .. shown, function()
        assert.equal(table.concat(case.lines, "\r\n"), multipart.encode_multipart(case.params, "B"))
      end)
    end
  end

  it("keeps every byte of a file", function()
    local bytes = {}
    for byte = 0, 255 do
      bytes[#bytes + 1] = string.char(byte)
    end
    local content = table.concat(bytes)
    local body = multipart.encode_multipart({ file = { filename = "a", content = content } }, "B")
    assert.truthy(body:find("\r\n\r\n" .. content .. "\r\n--B--", 1, true))
  end)

  it("never takes text for a path", function()
    local body = multipart.encode_multipart({ file = "/etc/hostname" }, "B")
    assert.truthy(body:find('name="file"\r\n\r\n/etc/hostname\r\n', 1, true))
  end)
end)
