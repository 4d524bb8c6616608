--- Colours on a terminal (SGR, "select graphic rendition"): whether there are to be any, and how.

local M = {}

--- Whether they are wanted on a stream: NO_COLOR, CLICOLOR_FORCE and TERM=dumb are heard in this order.
---@param terminal boolean is it one?
---@param getenv? fun(name: string): string?
---@return boolean
function M.wanted(terminal, getenv)
    getenv = getenv or os.getenv
    if (getenv "NO_COLOR" or "") ~= "" then return false end
    local force = getenv "CLICOLOR_FORCE" or ""
    if force ~= "" and force ~= "0" then return true end
    return terminal and getenv "TERM" ~= "dumb" and getenv "CLICOLOR" ~= "0"
end

---@param code? string|false "1;31"; without one the text stays as it is
---@param text string
---@return string
function M.paint(code, text)
    return code and text ~= "" and ("\27[%sm%s\27[0m"):format(code, text) or text
end

return M
