// The standard streams of a tool, at its start and end.
#ifndef XLM_TOOLS_STREAMS_H
#define XLM_TOOLS_STREAMS_H

// Opens missing standard streams on /dev/null; otherwise the next file opened would take their number, and
// messages would be written to it.
void xlm_streams_open(void);
// The exit code of a tool that ends with `code`: 2, after a message on stderr, if its output could not be
// written (a full disk, say). A closed pipe, as with `| head`, is not a failure.
int xlm_streams_close(const char *tool, int code);

#endif
