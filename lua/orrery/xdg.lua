--- Where a person's files are, by the XDG Base Directory Specification: a variable that holds no absolute path is
--- as good as none.

local M = {}

local function base(variable, below_home)
    local path, home = os.getenv(variable), os.getenv "HOME"
    if path and path:sub(1, 1) == "/" then return path end
    return home and home:sub(1, 1) == "/" and home .. below_home or nil
end

--- What is kept between runs.
---@return string? directory nil where there is no home
function M.state() return base("XDG_STATE_HOME", "/.local/state") end

--- What is set by the person.
---@return string? directory nil where there is no home
function M.config() return base("XDG_CONFIG_HOME", "/.config") end

return M
