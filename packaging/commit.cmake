# Writes OUT, a header with the commit of the source tree SOURCE and its date; unchanged if it says the same.
# Run at every build. Without git, as from an archive, both are "".
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty=+ --exclude=* OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
execute_process(COMMAND git -C ${SOURCE} show -s --format=%cs OUTPUT_VARIABLE date ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
set(text "#define XLM_COMMIT \"${commit}\"\n#define XLM_COMMIT_DATE \"${date}\"\n")
set(old "")
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
