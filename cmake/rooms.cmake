# elver_small(target): runs once for a file or a request, so a release build prefers few bytes to speed.
function(elver_small target)
    target_compile_options(${target} PRIVATE $<$<CONFIG:Release>:-Os> -ffunction-sections -fdata-sections)
endfunction()

# elver_room(NAME [SMALL] SEES rooms... LINKS libraries... FILES sources... FAST sources...): a folder of src as one static
# target. A room is compiled with an include path that holds only itself and the rooms it sees, so an include against the
# direction of the data fails to compile. FAST are the files with loops over numbers or text. A release build is -O3 for
# those, for the others -O2, or few bytes in a SMALL room: -O3 everywhere is a third more bytes and not a token faster.
set(ELVER_ROOM_INCLUDES ${PROJECT_BINARY_DIR}/rooms)

function(elver_room name)
    cmake_parse_arguments(ROOM "SMALL" "" "SEES;LINKS;FILES;FAST" ${ARGN})
    # rooms/NAME/NAME -> src/NAME: the path "base/result.hpp" resolves only through a room that is linked.
    file(MAKE_DIRECTORY ${ELVER_ROOM_INCLUDES}/${name})
    file(CREATE_LINK ${CMAKE_CURRENT_SOURCE_DIR} ${ELVER_ROOM_INCLUDES}/${name}/${name} SYMBOLIC)
    add_library(elver_${name} STATIC ${ROOM_FILES} ${ROOM_FAST})
    target_include_directories(elver_${name} PUBLIC $<BUILD_INTERFACE:${ELVER_ROOM_INCLUDES}/${name}>)
    target_link_libraries(elver_${name} PRIVATE $<BUILD_INTERFACE:elver_warnings>)
    if(ROOM_SMALL)
        elver_small(elver_${name})
    else()
        target_compile_options(elver_${name} PRIVATE $<$<CONFIG:Release>:-O2> -ffunction-sections -fdata-sections)
    endif()
    set_source_files_properties(${ROOM_FAST} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
    foreach(seen ${ROOM_SEES})
        target_link_libraries(elver_${name} PUBLIC elver_${seen})
    endforeach()
    foreach(library ${ROOM_LINKS})
        target_link_libraries(elver_${name} PRIVATE ${library})
    endforeach()
    set_property(GLOBAL APPEND PROPERTY ELVER_ROOMS elver_${name})
endfunction()
