--- locale: languages that programs can speak here.

local resource = require "orrery.play.resource"

return resource.define {
    name = "locale",
    doc = "Locales are there, and one of them is what programs speak by default.",
    options = {
        names = {
            type = { "list", "string" }, of = "string",
            doc = "such as 'de_DE.UTF-8'; they are made if need be",
            public = "it is not for secrets",
        },
        lang = { type = "string", doc = "LANG for all, from the next login on" },
        variables = { type = "map", of = "string", doc = "more of them, such as LC_TIME" },
    },
    returns = { file = "where LANG is set" },
    example = [[h:locale { names = { "de_DE.UTF-8" }, lang = "de_DE.UTF-8" }]],
    validate = function(o) return require("orrery.play.system.locale").wrong(o) end,
    check = function(o, env) return require("orrery.play.system.locale").check(o, env) end,
    apply = function(o, plan, env) return require("orrery.play.system.locale").apply(o, plan, env) end,
}
