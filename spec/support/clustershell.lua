--- ClusterShell, where it is installed: what it makes of expressions.

local json = require "orrery.json"

local M = {}

local PYTHON = "/usr/bin/python3"

local PROGRAM = [[
import json, sys
from ClusterShell.NodeSet import NodeSet
from ClusterShell.NodeUtils import GroupResolver, GroupSource
work = json.load(sys.stdin)
sources = [GroupSource(name, {k: ','.join(v) for k, v in s['groups'].items()}, ','.join(s['all']))
           for name, s in work['sources'].items()]
main = [s for s in sources if s.name == 'main'][0]
resolver = GroupResolver(main)
for s in sources:
    if s is not main:
        resolver.add_source(s)
answers = []
for text in work['expressions']:
    try:
        nodes = NodeSet(text, resolver=resolver)
        answers.append({'names': list(nodes), 'fold': str(nodes)})
    except Exception as e:
        answers.append({'error': str(e)})
print(json.dumps(answers))
]]

--- Whether it is there.
---@return boolean
function M.is_there()
    return os.execute(PYTHON .. " -c 'import ClusterShell.NodeSet' 2>/dev/null") == 0
end

---@class spec.clustershell.Answer
---@field names? string[]
---@field fold? string
---@field error? string

--- Evaluates expressions.
---@param sources table<string, { groups: table<string, string[]>, all: string[] }> "main" among them
---@param expressions string[]
---@return spec.clustershell.Answer[]
function M.evaluate(sources, expressions)
    local program, input = os.tmpname(), os.tmpname()
    local function write(path, text)
        local file = assert(io.open(path, "wb"))
        file:write(text)
        file:close()
    end
    write(program, PROGRAM)
    write(input, json.encode { sources = sources, expressions = json.array(expressions) })
    local pipe = assert(io.popen(("%s %s < %s"):format(PYTHON, program, input), "r"))
    local text = pipe:read("*a")
    pipe:close()
    os.remove(program)
    os.remove(input)
    return json.decode(text)
end

return M
