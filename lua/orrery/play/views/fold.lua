--- Names of hosts in short: "web[1-17],db1", as ClusterShell writes them.

local found, nodeset = pcall(require, "orrery.play.inventory.nodeset")

---@type fun(names: string[]): string
local fold = found and nodeset.fold or require("orrery.cli.hosts").fold

return fold
