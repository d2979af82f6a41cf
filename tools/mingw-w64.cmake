# For CMake: the C library for Windows, made elsewhere by mingw-w64's gcc; its tests run under Wine.
#
#     cmake -S . -B build --toolchain tools/mingw-w64.cmake && cmake --build build && ctest --test-dir build
set(CMAKE_SYSTEM_NAME Windows)
set(CMAKE_SYSTEM_PROCESSOR x86_64)
set(CMAKE_C_COMPILER x86_64-w64-mingw32-gcc)
set(CMAKE_FIND_ROOT_PATH /usr/x86_64-w64-mingw32)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
# gcc's own libraries are inside what is made: nothing has to be found when it starts.
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)
set(CMAKE_SHARED_LINKER_FLAGS_INIT -static)
foreach(name gomp pthread)
  set(OpenMP_${name}_LIBRARY ${name} CACHE STRING "by name: CMake would find the file of the DLL first")
endforeach()
find_program(CYLSTM_WINE NAMES wine wine64)
if(CYLSTM_WINE)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${CYLSTM_WINE})
endif()
