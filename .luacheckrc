std = "luajit"
max_line_length = 120
max_cyclomatic_complexity = 20
codes = true
exclude_files = { "build/" }

files["spec"] = { std = "luajit+busted" }
files["examples/**/*_spec.lua"] = { std = "luajit+busted" }
files["spec/support"] = { std = "luajit" }
files[".busted"] = { std = "luajit" }
