--- Files of the controller, as a resource on the target has them.
--
-- What is small comes with the step itself. Of what is large comes its size and hash, so that a target which has it
-- already needs nothing else.

local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

--- Bytes up to which a file goes along with the step.
M.SMALL = 256 * 1024

---@class orrery.play.Source a file of the controller
---@field name string
---@field size integer
---@field mode integer
---@field hash string BLAKE2b-256 of the content, hex
---@field content? string of a small one
local Source = {}
Source.__index = Source

--- Does a file here have the same content?
---@param path string
---@return boolean
function Source:same_as(path)
    local st = sys.stat(path)
    if not st or st.type ~= "file" or st.size ~= self.size then return false end
    return sys.hash(path, "blake2b") == self.hash
end

--- Puts the content into a file here, which must not be one that somebody uses: a temporary one.
---@param path string
---@param attributes? { mode?: integer, uid?: integer, gid?: integer }
function Source:save(path, attributes)
    resource.must("write", sys.write_atomic(path, self:read(), attributes))
end

--- The whole content.
---@return string
function Source:read()
    if self.content then return self.content end
    return self.fetch(self)
end

---@class orrery.play.Files
local Files = {}
Files.__index = Files

---@param sent? table<string, table> by name: content, size, mode, hash
---@param fetch? fun(source: orrery.play.Source): string
---@return orrery.play.Files
function M.new(sent, fetch)
    return setmetatable({ sent = sent or {}, fetch = fetch }, Files)
end

-- Contents given as such are sources, too.
local function of_text(value, text)
    return setmetatable({ name = value.name or "content", size = #text, mode = 0x1a4, content = text,
        hash = sys.digest(text, "blake2b") }, Source)
end

---@param value any what an option of type "source" has
---@return orrery.play.Source
function Files:source(value)
    if type(value) == "table" and value.content then return of_text(value, value.content) end
    local name = type(value) == "table" and value.file or value
    local sent = self.sent[name]
    if not sent then resource.fail(("the controller did not send the file %s"):format(tostring(name))) end
    local source = setmetatable({ name = name, size = sent.size, mode = sent.mode, hash = sent.hash,
        content = sent.content, fetch = self.fetch }, Source)
    if source.content and not source.hash then source.hash = sys.digest(source.content, "blake2b") end
    return source
end

---@param value any
---@return string
function Files:content(value) return self:source(value):read() end

return M
