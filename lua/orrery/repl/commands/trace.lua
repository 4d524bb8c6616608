--- :trace.
local M = {}
function M.trace() end
return M
