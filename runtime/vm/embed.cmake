# Writes the index of a built-in Lua library:
# cmake -DOUT=file -DMODULES="a;b" -DAGENT="a" -DFILES="a.lua;b.lua" -DDIR=directory -P embed.cmake
#
# With each module stands what it requires by a literal name, so that a child that asks for the one gets the others
# along with it; and whether agents have it built in.
cmake_minimum_required(VERSION 3.25)
set(text "/* Made by the build. */\n#include \"vm.h\"\n\n")
set(rows "")
foreach(module file IN ZIP_LISTS MODULES FILES)
  string(MAKE_C_IDENTIFIER ${module} id)
  string(APPEND text "#include \"${id}.h\"\n")
  file(READ ${DIR}/${file} source)
  string(REGEX MATCHALL "require *\\(?\"[a-z_A-Z0-9.]+\"" calls "${source}")
  set(required "")
  foreach(call IN LISTS calls)
    string(REGEX REPLACE ".*\"(.*)\"" "\\1" name ${call})
    if(name IN_LIST MODULES)
      list(APPEND required ${name})
    endif()
  endforeach()
  list(REMOVE_DUPLICATES required)
  list(JOIN required " " required)
  set(in_agent false)
  if(module IN_LIST AGENT)
    set(in_agent true)
  endif()
  string(APPEND rows "    {\"${module}\", (const unsigned char *)luaJIT_BC_${id}, luaJIT_BC_${id}_SIZE,\n"
                     "        \"${required}\", ${in_agent}},\n")
endforeach()
string(APPEND text "\nconst struct vm_module vm_library[] = {\n${rows}    {NULL, NULL, 0, NULL, false},\n};\n")
file(WRITE ${OUT} "${text}")
