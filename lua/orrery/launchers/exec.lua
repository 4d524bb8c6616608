--- Any command that ends in a shell: { "chroot", "/x", "sh" }. A {} in its last word stands for what that shell
--- is to run; without one, -c and that are added.

local function words(argv)
    if #argv == 0 then return false, "must be a command" end
    for _, word in ipairs(argv) do
        if type(word) ~= "string" then return false, "must be a list of strings" end
    end
    return true
end

---@class orrery.ExecOptions: orrery.LauncherOptions
---@field argv string[]

---@type orrery.Launcher
return {
    name = "exec",
    list = "argv",
    options = { argv = { type = "table", required = true, check = words } },
    label = function(o) return o.argv[1]:match("[^/]*$") end,
    argv = function(o)
        return { o.argv, not o.argv[#o.argv]:find("{}", 1, true) and { "-c", "{}" } }
    end,
}
