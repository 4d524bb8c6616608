--- Files of the controller, as a resource on the target has them.
--
-- What is small comes with the step itself. Of what is large come its size and hash, so that a target which has it
-- already needs nothing else; if it has not, the controller is asked for it. The other end is orrery.play.sources.

local paths = require "orrery.play.paths"
local resource = require "orrery.play.resource"
local sys = require "orrery.sys"

local M = {}

--- The service of the controller by which more is to be had.
M.SERVICE = "orrery.play.files"
--- Bytes up to which a file goes along with the step.
M.SMALL = 256 * 1024

---@class orrery.play.Source a file of the controller
---@field name string
---@field size integer
---@field mode integer
---@field hash string BLAKE2b-256 of the content, hex
---@field content? string of a small one
---@field package ticket? string
---@field package step? string whose progress it is to be sent
local Source = {}
Source.__index = Source

local function ask(what, ...)
    return require("orrery").service(M.SERVICE)[what](...)
end

--- Does a file here have the same content?
---@param path string
---@return boolean
function Source:same_as(path)
    local st = sys.stat(path)
    if not st or st.type ~= "file" or st.size ~= self.size then return false end
    return sys.hash(path, "blake2b") == self.hash
end

local function fetch(self, temporary)
    ask("place", self.ticket, self.name, temporary, self.step)
    if sys.hash(temporary, "blake2b") ~= self.hash then
        resource.fail(("%s of the controller has changed while it was sent"):format(self.name))
    end
end

--- Makes it a file here: under its name whole, or not at all.
---@param path string
---@param attributes? { mode?: integer, uid?: integer, gid?: integer }
function Source:save(path, attributes)
    if self.content then
        resource.must("write", sys.write_atomic(path, self.content, attributes))
        return
    end
    -- No such file is made before all of it is there: see runtime/call/file.h.
    local temporary = paths.beside(path)
    local ok, err = pcall(function()
        fetch(self, temporary)
        local a = attributes or {}
        if a.uid or a.gid then resource.must("change the owner of", sys.chown(temporary, a.uid, a.gid)) end
        resource.must("change the mode of", sys.chmod(temporary, a.mode or bit.band(0x1b6, bit.bnot(sys.umask()))))
        resource.must("replace", sys.rename(temporary, path))
    end)
    if ok then return end
    sys.unlink(temporary)
    error(err, 0)
end

--- The whole content.
---@return string
function Source:read()
    self.content = self.content or ask("read", self.ticket, self.name)
    return self.content
end

---@class orrery.play.Files
---@field package sent table<string, table>
---@field package ticket? string
local Files = {}
Files.__index = Files

---@param sent? table<string, table> by name: content, size, mode, hash
---@param ticket? string by which the controller knows what may be asked for
---@return orrery.play.Files
function M.new(sent, ticket)
    return setmetatable({ sent = sent or {}, ticket = ticket }, Files)
end

-- Contents given as such are sources, too.
local function of_text(value, text)
    return setmetatable({
        name = value.name or "content", size = #text, mode = 0x1a4, content = text, hash = sys.digest(text, "blake2b"),
    }, Source)
end

---@param value any what an option of type "source" has
---@param step? string that asks for it
---@return orrery.play.Source
---Raises "resource" where there is no such file.
function Files:source(value, step)
    if type(value) == "table" and value.content then return of_text(value, value.content) end
    local name = type(value) == "table" and value.file or value
    local sent = self.sent[name]
    if not sent then
        if not self.ticket then resource.fail(("the controller did not send the file %s"):format(tostring(name))) end
        sent = ask("look", self.ticket, name)
        self.sent[name] = sent
    end
    if sent.missing then resource.fail(sent.missing) end
    local source = setmetatable({
        name = name, size = sent.size, mode = sent.mode, hash = sent.hash, content = sent.content, ticket = self.ticket,
        step = step,
    }, Source)
    source.hash = source.hash or sys.digest(source.content, "blake2b")
    return source
end

---@param value any
---@return string
function Files:content(value) return self:source(value):read() end

function Files:close() self.ticket = nil end

return M
