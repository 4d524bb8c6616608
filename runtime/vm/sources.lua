-- Writes the module that has the comments of the library, since what is built in is bytecode: see
-- lua/orrery/repl/source.lua. luajit sources.lua OUT DIR FILE...
--
-- Of each file it keeps its first comment, and those for LuaLS with the line behind them. The others are empty, so that
-- lines have their numbers.

local out, dir = arg[1], arg[2]

local function is_comment(line) return line:find "^%s*%-%-" ~= nil end

local function kept(path)
    local lines, from, documented = {}, nil, false
    for line in io.lines(path) do
        lines[#lines + 1] = line
        local at = #lines
        if is_comment(line) then
            from = from or at
            documented = documented or line:find "^%s*%-%-%-" ~= nil
        else
            if from and not documented and from > 1 then
                for i = from, at - 1 do lines[i] = "" end
            end
            if not documented or not line:find "function" then lines[at] = "" end
            from, documented = nil, false
        end
    end
    return (table.concat(lines, "\n"):gsub("%s+$", "\n"))
end

local parts = { "return {\n" }
for i = 3, #arg do parts[#parts + 1] = ("[%q] = %q,\n"):format(arg[i], kept(dir .. "/" .. arg[i])) end
parts[#parts + 1] = "}\n"
local file = assert(io.open(out, "wb"))
assert(file:write(table.concat(parts)))
assert(file:close())
