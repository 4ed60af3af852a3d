# Warnings for elver's own targets, in one place.
add_library(elver_warnings INTERFACE)
target_compile_options(elver_warnings INTERFACE -Wall -Wextra -Wshadow $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
if(ELVER_WERROR)
    target_compile_options(elver_warnings INTERFACE -Werror)
endif()
