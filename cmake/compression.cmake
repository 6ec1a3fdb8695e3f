# The interface target syncline_compression: xxHash, zstd and LZ4, from their static archives where
# the system has them, so that the SQLite extension can be copied to a machine without them.
add_library(syncline_compression INTERFACE)
foreach(name xxhash zstd lz4)
  find_library(SYNCLINE_${name} NAMES lib${name}.a ${name} REQUIRED)
  target_link_libraries(syncline_compression INTERFACE ${SYNCLINE_${name}})
endforeach()
