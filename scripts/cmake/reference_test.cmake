# Fails when a reference page is not what the program prints.
execute_process(COMMAND ${PROGRAM} reference ${KIND} OUTPUT_VARIABLE printed COMMAND_ERROR_IS_FATAL ANY)
file(READ ${PAGE} kept)
if(NOT printed STREQUAL kept)
  message(FATAL_ERROR "${PAGE} is out of date; run: trainyard reference ${KIND} > ${PAGE}")
endif()
