# trainyard_library, trainyard_daemon, trainyard_test: the three ways in which code enters the build.

# g++ 12 reports members of a moved std::variant as maybe uninitialized at -O2 (GCC bug 105562 and its kin).
add_library(trainyard_options INTERFACE)
target_include_directories(trainyard_options INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(trainyard_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wno-missing-field-initializers $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized -Wno-restrict>>)
target_compile_definitions(trainyard_options INTERFACE TRAINYARD_VERSION="${PROJECT_VERSION}")
if(TRAINYARD_WERROR)
  target_compile_options(trainyard_options INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(TRAINYARD_SANITIZE)
  target_compile_options(trainyard_options INTERFACE -fsanitize=${TRAINYARD_SANITIZE} -fno-omit-frame-pointer)
  if(TRAINYARD_SANITIZE MATCHES undefined)
    # What UBSan finds ends the program: a test that goes on after it would pass.
    target_compile_options(trainyard_options INTERFACE -fno-sanitize-recover=undefined)
  endif()
  target_link_options(trainyard_options INTERFACE -fsanitize=${TRAINYARD_SANITIZE})
endif()
# How long a test of ours may take. Instrumented programs are several times slower.
set(trainyard_test_seconds 300)
if(TRAINYARD_SANITIZE OR TRAINYARD_COVERAGE)
  set(trainyard_test_seconds 3000)
endif()
if(TRAINYARD_COVERAGE)
  target_compile_options(trainyard_options INTERFACE --coverage)
  target_link_options(trainyard_options INTERFACE --coverage)
endif()

# trainyard_library(<name> SOURCES ... [DEPS ...]): a static library trainyard_<name>. DEPS names the layers
# and the third-party targets that it may use. Its link test links the whole library with just these: an
# undeclared layer is a link error. scripts/layers.py holds includes against the same declarations.
function(trainyard_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_library(trainyard_${name} STATIC ${arg_SOURCES})
  target_link_libraries(trainyard_${name} PUBLIC trainyard_options ${arg_DEPS})
  if(TRAINYARD_TESTS)
    add_executable(trainyard_${name}_link_test ${PROJECT_SOURCE_DIR}/scripts/cmake/empty_main.cpp)
    target_link_libraries(trainyard_${name}_link_test PRIVATE "$<LINK_LIBRARY:WHOLE_ARCHIVE,trainyard_${name}>")
    set_target_properties(trainyard_${name}_link_test PROPERTIES
      RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/link_tests)
  endif()
endfunction()

# trainyard_daemon(<binary> SOURCES ... DEPS ...): a binary in bin/, installed with the rest.
function(trainyard_daemon name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;DEPS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE trainyard_options ${arg_DEPS})
  install(TARGETS ${name} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endfunction()

# trainyard_test(<name> SOURCES ... DEPS ... [LABEL unit|kernels|sim|component] [NEEDS binary ...] [ARGS pattern ...]): a
# Catch2 program in tests/, one CTest test each. NEEDS builds these binaries first (the test starts them); ARGS choose
# its cases, all of them unless given.
function(trainyard_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "LABEL" "SOURCES;DEPS;NEEDS;ARGS")
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE trainyard_options trainyard_test_main Catch2::Catch2 ${arg_DEPS})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests)
  if(arg_NEEDS)
    add_dependencies(${name} ${arg_NEEDS})
  endif()
  add_test(NAME ${name} COMMAND ${name} ${arg_ARGS} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(arg_LABEL)
    set_tests_properties(${name} PROPERTIES LABELS ${arg_LABEL})
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${trainyard_test_seconds}
    ENVIRONMENT "TRAINYARD_BIN=${PROJECT_BINARY_DIR}/bin")
endfunction()
