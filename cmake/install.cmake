# The install tree: headers, the shared and the static library, the program, a CMake package and a pkg-config file. A build
# without the shared library is for use inside the same build tree and is not installed.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/elver DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
if(TARGET elver_program)
    install(TARGETS elver_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
    if(BUILD_SHARED_LIBS AND NOT APPLE)
        set_target_properties(elver_program PROPERTIES INSTALL_RPATH "$ORIGIN/../${CMAKE_INSTALL_LIBDIR}")
    endif()
endif()
if(NOT BUILD_SHARED_LIBS)
    return()
endif()
install(TARGETS elver elver_static EXPORT elverTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
                                                       ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
set(ELVER_PACKAGE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/elver)
install(EXPORT elverTargets NAMESPACE elver:: DESTINATION ${ELVER_PACKAGE_DIR})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/elverConfig.cmake.in ${PROJECT_BINARY_DIR}/elverConfig.cmake
                              INSTALL_DESTINATION ${ELVER_PACKAGE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/elverConfigVersion.cmake COMPATIBILITY SameMinorVersion)
# The file finds its prefix from where it lies, so `cmake --install --prefix` may put it anywhere.
file(RELATIVE_PATH ELVER_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/elver.pc.in ${PROJECT_BINARY_DIR}/elver.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/elverConfig.cmake ${PROJECT_BINARY_DIR}/elverConfigVersion.cmake
        DESTINATION ${ELVER_PACKAGE_DIR})
install(FILES ${PROJECT_BINARY_DIR}/elver.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(ELVER_TOP_LEVEL)
    include(package)
endif()
