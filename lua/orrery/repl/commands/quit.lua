--- :quit.

local M = {}

function M.quit(repl) repl:leave() end

return M
